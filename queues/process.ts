import type { Logger } from 'pino'

/** Exit code of a process that could not start. */
const startFailed = 1

/**
 * Runs the main function of a process: checks the runtime, and turns a failed start into one clear line and exit code 1.
 *
 * @param main what the process does.
 */
export async function runProcess(main: () => Promise<void>): Promise<void> {
  try {
    checkRuntime(process.versions.node)
    await main()
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(startFailed)
  }
}

/** @throws Error when the runtime is older than the project needs. */
export function checkRuntime(version: string): void {
  if (Number(version.split('.')[0]) >= 24) return
  throw new Error(
    `Jobyard needs Node 24 or newer, and this is ${version}. Start it with npm (npm start), which brings its own.`,
  )
}

export interface StopOptions {
  readonly log: Logger
  /** Called once, at the first signal or when the parent process is gone. */
  readonly stop: () => Promise<void>
  /** Called at a second signal: wait for nothing any more. */
  readonly hurry: () => void
}

/** Stops the process in order at SIGTERM, SIGINT, or the loss of its parent, then exits with 0; with 1 if stopping failed. */
export function stopOnSignals({ log, stop, hurry }: StopOptions): void {
  let stopping = false
  const onSignal = (signal: string) => {
    if (stopping) return hurry()
    stopping = true
    log.info({ signal }, 'stopping')
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.fatal({ err: error }, 'stopping failed')
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal)
  process.once('disconnect', () => onSignal('the parent process is gone'))
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.fatal({ err: error }, `${event}; this process ends, its jobs run again elsewhere`)
      process.exit(1)
    })
  }
}
