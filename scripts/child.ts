import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'

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
  /** Told when the process died although nobody stopped it. */
  readonly onDeath: (how: string, restartInMs: number) => void
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

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /**
   * Starts the process.
   *
   * @returns what it reports once it works.
   * @throws Error when it ends before that.
   */
  async start(): Promise<unknown> {
    const child = this.#spawn()
    const died = once(child, 'exit').then(() => {
      throw new Error(`${this.#options.name} did not start. Its log says why: ${this.#options.logFile}`)
    })
    const [report] = (await Promise.race([once(child, 'message'), died])) as [unknown]
    child.once('exit', (code, signal) => this.#onExit(code, signal, performance.now()))
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
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? 0
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const [code] = (await ended) as [number | null]
    return code
  }

  /** In a process group of its own, so that Ctrl-C reaches only the parent, which stops its children in order. */
  #spawn(): ChildProcess {
    const { file, env, logFile } = this.#options
    const log = openSync(logFile, 'a')
    this.#process = spawn(process.execPath, [file], { env, detached: true, stdio: ['ignore', log, log, 'ipc'] })
    return this.#process
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null, startedAt: number): void {
    if (this.#stopping) return
    this.#waitMs = performance.now() - startedAt > healthyAfterMs ? shortestWaitMs : this.#waitMs
    this.#options.onDeath(signal ?? `exit code ${code}`, this.#waitMs)
    this.#restart = setTimeout(() => {
      const born = performance.now()
      this.#spawn().once('exit', (nextCode, nextSignal) => this.#onExit(nextCode, nextSignal, born))
    }, this.#waitMs)
    this.#waitMs = Math.min(this.#waitMs * 2, longestWaitMs)
  }
}
