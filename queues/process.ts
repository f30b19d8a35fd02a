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

/** How a process that works is stopped. */
export interface Shutdown {
  readonly log: Logger
  /** How long {@link stop} waits for work under way, in milliseconds. */
  readonly graceMs: number
  /** Called once, at the first signal or when the parent process is gone. */
  readonly stop: () => Promise<void>
  /** Called at a second signal: wait for nothing any more. */
  readonly hurry: () => void
}

/** How long a stop may take before the process is ended all the same, in milliseconds. */
export interface StopLimits {
  /** Beyond the grace. */
  readonly afterGraceMs?: number
  /** After a second signal. */
  readonly afterHurryMs?: number
}

/** What signals do to a process: they end it at once with 0 while it starts, and in order once it works. */
export interface StopSignals {
  /** To be called when there is something to stop: from now on a signal stops it. */
  stopWith(shutdown: Shutdown): void
  /**
   * Stops the process in order, as a signal would; without effect where one has come before.
   *
   * @param why for the log.
   * @param exitCode of the process when it has stopped.
   */
  stop(why: string, exitCode: number): void
}

/**
 * Listens to SIGTERM, SIGINT and the loss of the parent. Call it before anything else is loaded: the first process of a
 * container ignores signals that it does not listen to, and a parent may be gone before its child has started.
 *
 * The process exits with 0 when a signal has stopped it; with 1 if stopping failed or took longer than the limits.
 */
export function stopOnSignals({ afterGraceMs = 15_000, afterHurryMs = 5_000 }: StopLimits = {}): StopSignals {
  let shutdown: Shutdown | undefined
  let stopping = false
  const stop = (why: string, exitCode: number) => {
    if (!shutdown) process.exit(exitCode)
    if (stopping) return
    stopping = true
    shutdown.log.info({ why }, 'stopping')
    endAfter(shutdown.graceMs + afterGraceMs, shutdown.log)
    void stopAndExit(shutdown, exitCode)
  }
  const onSignal = (signal: string) => {
    if (!shutdown || !stopping) return stop(signal, 0)
    endAfter(afterHurryMs, shutdown.log)
    shutdown.hurry()
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal)
  process.once('disconnect', () => onSignal('the parent process is gone'))
  if (process.connected === false) process.exit(0)
  return {
    stopWith: (given) => {
      shutdown = given
      endOnErrors(given.log)
    },
    stop,
  }
}

async function stopAndExit({ log, stop }: Shutdown, exitCode: number): Promise<void> {
  try {
    await stop()
  } catch (error) {
    log.fatal({ err: error }, 'stopping failed')
    process.exit(1)
  }
  process.exit(exitCode)
}

function endAfter(ms: number, log: Logger): void {
  setTimeout(() => {
    log.fatal(`stopping took longer than ${ms} ms; this process ends, what it held is found by others`)
    process.exit(1)
  }, ms).unref()
}

function endOnErrors(log: Logger): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.fatal({ err: error }, `${event}; this process ends, its jobs run again elsewhere`)
      process.exit(1)
    })
  }
}
