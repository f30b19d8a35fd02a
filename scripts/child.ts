import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { lastWords } from './last-words.ts'

/** Shortest and longest wait before a process that died is started again, in milliseconds. */
const shortestWaitMs = 1_000
const longestWaitMs = 30_000
/** A process that ran for this long counts as healthy, in milliseconds. */
const healthyAfterMs = 60_000

export interface ChildOptions {
  readonly name: string
  /** The file that Node runs. */
  readonly file: string
  readonly env: NodeJS.ProcessEnv
  /** Standard output and errors are appended here. */
  readonly logFile: string
  /** Told what a process that starts waits for, one line per attempt. */
  readonly onWaiting: (line: string) => void
  /** Told when the process died although nobody stopped it. */
  readonly onDeath: (how: string, restartInMs: number) => void
}

/** What becomes of one run of the process. */
interface Run {
  readonly onReport: (report: unknown) => void
  /** Called once, also when there was no run because the process could not be made. */
  readonly onEnd: (how: string) => void
}

/** One process of the platform, started again when it dies. */
export class Child {
  readonly #options: ChildOptions
  #process: ChildProcess | undefined
  #waitMs = shortestWaitMs
  #restart: NodeJS.Timeout | undefined
  #stopping = false

  constructor(options: ChildOptions) {
    this.#options = options
  }

  /**
   * Starts the process.
   *
   * @returns what it reports once it works.
   * @throws Error with the reason from its log when it ends before that.
   */
  async start(): Promise<unknown> {
    const { logFile } = this.#options
    const logStart = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0
    const startedAt = performance.now()
    const { promise: report, resolve, reject } = Promise.withResolvers<unknown>()
    let works = false
    this.#run({
      onReport: (message) => {
        works = true
        resolve(message)
      },
      onEnd: (how) => (works ? this.#onDeath(how, startedAt) : reject(this.#failedStart(how, logStart))),
    })
    return report
  }

  /** Passes a signal on. */
  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal)
  }

  /** Asks the process to drain, and resolves when it has ended. @returns its exit code, null when a signal ended it. */
  async stop(): Promise<number | null> {
    this.#stopping = true
    clearTimeout(this.#restart)
    const child = this.#process
    if (!child?.pid) return 0
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const [code] = (await ended) as [number | null]
    return code
  }

  #run({ onReport, onEnd }: Run): void {
    try {
      const child = this.#spawn()
      this.#process = child
      child.on('message', (message) =>
        isWaiting(message) ? this.#options.onWaiting(message.waiting) : onReport(message),
      )
      child.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`))
      child.on('error', (error) => {
        if (!child.pid) onEnd(error.message)
      })
    } catch (error) {
      onEnd(String(error))
    }
  }

  /** In a process group of its own, so that Ctrl-C reaches only the parent, which stops its children in order. */
  #spawn(): ChildProcess {
    const { file, env, logFile } = this.#options
    const log = openSync(logFile, 'a')
    try {
      return spawn(process.execPath, [file], { env, detached: true, stdio: ['ignore', log, log, 'ipc'] })
    } finally {
      closeSync(log)
    }
  }

  #failedStart(how: string, logStart: number): Error {
    const { name, logFile } = this.#options
    const reason = lastWords(readFrom(logFile, logStart)) ?? how
    return new Error(`${name} did not start: ${reason}\nIts log: ${logFile}`)
  }

  #onDeath(how: string, startedAt: number): void {
    if (this.#stopping) return
    const waitMs = performance.now() - startedAt > healthyAfterMs ? shortestWaitMs : this.#waitMs
    this.#options.onDeath(how, waitMs)
    this.#restart = setTimeout(() => this.#startAgain(), waitMs)
    this.#waitMs = Math.min(waitMs * 2, longestWaitMs)
  }

  #startAgain(): void {
    const startedAt = performance.now()
    this.#run({ onReport: () => {}, onEnd: (how) => this.#onDeath(how, startedAt) })
  }
}

function isWaiting(message: unknown): message is { waiting: string } {
  return typeof message === 'object' && message !== null && 'waiting' in message && typeof message.waiting === 'string'
}

function readFrom(file: string, start: number): string {
  try {
    return readFileSync(file).subarray(start).toString('utf8')
  } catch {
    return ''
  }
}
