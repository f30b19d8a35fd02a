import { fork, type ChildProcess } from 'node:child_process'
import { findSuspect } from '@jobyard/db/claim'
import type { Database } from '@jobyard/db/connect'
import type { Logger } from 'pino'

/** What a worker process runs: what has tickets, suspects, or all, as where there is no process to fork, in tests. */
export type Duty = 'ordinary' | 'suspects' | 'all'

export interface QuarantineOptions {
  readonly sql: Database['sql']
  readonly queues: readonly string[]
  /** Makes the process; it sends `{ working: true }` when it works. */
  readonly open: () => ChildProcess
  readonly log: Logger
}

/** Pause after a process that died before it worked, in milliseconds: the next one would hardly fare better. */
const pauseAfterFailedStartMs = 30_000

/**
 * Starts this process's own program once more, with the duty to run suspects. It is in a process group of its own, so that Ctrl-C
 * reaches only this process, which passes it on; when this process is gone it stops by itself.
 */
export function openQuarantine(): ChildProcess {
  const [, program = '', ...words] = process.argv
  const duty: Duty = 'suspects'
  return fork(program, words, { env: { ...process.env, WORKER_DUTY: duty }, detached: true })
}

/** Keeps suspects out of this process: a process of its own runs them while there are some, and dies alone of a poison job. */
export class Quarantine {
  readonly #options: QuarantineOptions
  #child: ChildProcess | undefined
  #gone: Promise<void> = Promise.resolve()
  #stopped = false
  /** End of the pause after a failed start, on the monotonic clock in milliseconds. */
  #restUntil = 0

  constructor(options: QuarantineOptions) {
    this.#options = options
  }

  /** Opens the quarantine if there is a suspect and it is not open. @throws the driver's error. */
  async runOnce(): Promise<void> {
    if (this.#child || this.#stopped || performance.now() < this.#restUntil) return
    const { sql, queues } = this.#options
    if ((await findSuspect(sql, queues)) !== undefined && !this.#stopped) this.#open()
  }

  /** Asks the process to stop, and to be quick about it if it was asked before. @returns once it is gone. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#child?.kill('SIGTERM')
    await this.#gone
  }

  #open(): void {
    const { open, log } = this.#options
    const child = open()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#child = child
    this.#gone = promise
    let works = false
    const onEnd = (how: unknown) => {
      if (this.#child !== child) return
      this.#child = undefined
      if (!works) this.#restUntil = performance.now() + pauseAfterFailedStartMs
      log[how === 0 ? 'info' : 'error']({ how, pid: child.pid }, 'The process that ran suspects has ended')
      resolve()
    }
    child.on('message', (message) => {
      works ||= typeof message === 'object' && 'working' in message
    })
    child.once('exit', (code, signal) => onEnd(signal ?? code))
    child.once('error', onEnd)
    log.warn({ pid: child.pid }, 'Jobs that have crashed their process before run in a process of their own')
  }
}
