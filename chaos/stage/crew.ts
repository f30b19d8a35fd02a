import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import type { Holdings, Order } from './puppet.ts'

export type Role = 'api' | 'workers'

/** A process that is started again when it dies, as an orchestrator would. */
export class Member {
  readonly role: Role
  readonly name: string
  readonly #file: string
  #env: Record<string, string>
  readonly #log: WriteStream
  readonly #onDeath: (how: string) => void
  #process: ChildProcess | undefined
  #url: string | undefined
  #works = false
  #wanted = false
  #restart: NodeJS.Timeout | undefined
  #ready = Promise.withResolvers<void>()

  constructor(options: {
    role: Role
    name: string
    /** What Node runs. */
    file: string
    env: Record<string, string>
    log: WriteStream
    onDeath: (how: string) => void
  }) {
    this.role = options.role
    this.name = options.name
    this.#file = options.file
    this.#env = options.env
    this.#log = options.log
    this.#onDeath = options.onDeath
  }

  /** `http://host:port` of an API that works. */
  get url(): string | undefined {
    return this.#works ? this.#url : undefined
  }

  get works(): boolean {
    return this.#works
  }

  /** Whether it is kept alive. */
  get wanted(): boolean {
    return this.#wanted
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Starts it; it is kept alive until {@link retire}. Resolves when it works. */
  async start(more: Record<string, string> = {}): Promise<void> {
    this.#env = { ...this.#env, ...more }
    this.#wanted = true
    this.#launch()
    await this.working()
  }

  /** Resolves when it works, now or after its next start. */
  async working(): Promise<void> {
    while (!this.#works) await this.#ready.promise
  }

  /** Sends a signal; a process that ends is started again. */
  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal)
  }

  /** Kills it with −9 and resolves when it has ended; it is started again. */
  async kill(): Promise<void> {
    const child = this.#process
    if (!child || hasEnded(child)) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  /** Kills it; it is started again with further variables. */
  async restartWith(more: Record<string, string>): Promise<void> {
    this.#env = { ...this.#env, ...more }
    await this.kill()
  }

  /** Sends a signal and resolves with the exit code; it is started again unless it was to {@link retire}. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#process
    if (!child || hasEnded(child)) return child?.exitCode ?? null
    const ended = once(child, 'exit')
    child.kill(signal)
    const [code] = (await ended) as [number | null]
    return code
  }

  /** Ends it for good. @returns its exit code. */
  async retire(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.#wanted = false
    clearTimeout(this.#restart)
    this.#process?.kill('SIGCONT')
    return this.end(signal)
  }

  /** Keeps its event loop from turning for so long. */
  block(ms: number): void {
    this.#order({ chaos: 'block', ms })
  }

  /** Makes it believe that it is so much later than it is. */
  turnClock(ms: number): void {
    this.#order({ chaos: 'turn clock', ms })
  }

  /** @returns what the process holds, or undefined when it does not work or does not answer within a few seconds. */
  async measure(): Promise<Holdings | undefined> {
    const child = this.#process
    if (!this.#works || !child) return undefined
    const answer = Promise.withResolvers<Holdings | undefined>()
    const onMessage = (message: { holdings?: Holdings }) => message.holdings && answer.resolve(message.holdings)
    const timer = setTimeout(() => answer.resolve(undefined), 3_000)
    child.on('message', onMessage as (message: unknown) => void)
    this.#order({ chaos: 'measure' })
    const holdings = await answer.promise
    clearTimeout(timer)
    child.off('message', onMessage as (message: unknown) => void)
    return holdings
  }

  #order(order: Order): void {
    if (this.#process?.connected) this.#process.send(order, () => {})
  }

  #launch(): void {
    const child = fork(this.#file, {
      env: this.#env,
      execArgv: ['--import', new URL('puppet.ts', import.meta.url).href],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    child.stdout?.pipe(this.#log, { end: false })
    child.stderr?.pipe(this.#log, { end: false })
    this.#process = child
    child.on('message', (message: { listening?: string; working?: boolean }) => {
      if (message.listening === undefined && !message.working) return
      this.#url = message.listening
      this.#works = true
      this.#ready.resolve()
    })
    child.once('exit', (code, signal) => this.#onExit(child, signal ?? `code ${code}`))
  }

  #onExit(child: ChildProcess, how: string): void {
    if (child !== this.#process) return
    if (this.#works) this.#ready = Promise.withResolvers() // who waits for one that died as it started waits for the next
    this.#works = false
    this.#onDeath(how)
    if (this.#wanted) this.#restart = setTimeout(() => this.#launch(), 100)
  }
}

/** Opens the file that a process's output is appended to. */
export function openLog(file: string): WriteStream {
  return createWriteStream(file, { flags: 'a' }).setMaxListeners(0)
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
