import { withDeadline } from '@jobyard/queues/deadline'
import type { Logger } from 'pino'

/** Something that runs until it is stopped. Stopping twice, or before the start, is fine. */
export interface Service {
  start(): void
  /** Resolves when nothing of it runs any more. */
  stop(): Promise<void>
}

export interface LoopOptions {
  readonly name: string
  /** Pause between two rounds, in milliseconds. */
  readonly everyMs: number
  /** One round; answers true when there is more to do at once, or the milliseconds after which there may be. */
  readonly runOnce: () => Promise<boolean | number | void>
  readonly log: Logger
  /** Time that a round may take before it is given up, in milliseconds: above what every server may take to answer. */
  readonly deadlineMs?: number
}

/** Repeats `runOnce`; a round that throws or takes too long is logged and repeated after the usual pause. */
export class Loop implements Service {
  readonly #options: LoopOptions
  #stopping = new AbortController()
  #running: Promise<void> | undefined
  #pause = new AbortController()

  constructor(options: LoopOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#running) return
    this.#stopping = new AbortController()
    this.#running = this.#run(this.#stopping.signal)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.wake()
    await this.#running
    this.#running = undefined
  }

  /** Has the next round begin at once, or right after the one under way. */
  wake(): void {
    this.#pause.abort()
  }

  async #run(stopping: AbortSignal): Promise<void> {
    const { name, everyMs, runOnce, log, deadlineMs = 60_000 } = this.#options
    while (!stopping.aborted) {
      this.#pause = new AbortController()
      const more = await withDeadline(runOnce(), deadlineMs, `A round of ${name}`).catch((error: unknown) => {
        log.warn({ err: error, service: name }, `${name} failed, and tries again in ${everyMs} ms`)
      })
      if (more !== true) await pause(typeof more === 'number' ? more : everyMs, this.#pause.signal)
    }
  }
}

/** Waits `ms` milliseconds, or until the signal aborts. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}
