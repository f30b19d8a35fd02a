import type { Logger } from 'pino'
import type { Attempts } from './attempts.ts'
import type { Run } from './ownership.ts'

/** Time that a handler has to end after its signal was aborted, in milliseconds. */
const endWithinMs = 30_000

export interface StuckHandlersOptions {
  readonly attempts: Pick<Attempts, 'executing'>
  /** Jobs at once per queue. */
  readonly slots: number
  /** Called when half of a queue's slots are held by such handlers. */
  readonly onHalf?: ((queue: string) => void) | undefined
  readonly log: Logger
}

/** Watches handlers that go on although nobody wants their jobs any more: each keeps its slot, perhaps for ever. */
export class StuckHandlers {
  readonly #options: StuckHandlersOptions
  /** When a group was first seen without a job that is wanted, on the monotonic clock in milliseconds. */
  readonly #since = new WeakMap<readonly Run[], number>()
  readonly #told = new Set<string>()

  constructor(options: StuckHandlersOptions) {
    this.#options = options
  }

  /** @returns how many slots of each queue are held so; queues without any are absent. */
  runOnce(): Map<string, number> {
    const { attempts, slots, onHalf } = this.#options
    const held = new Map<string, number>()
    for (const group of attempts.executing) {
      const [run] = group
      if (!run || !this.#isStuck(group)) continue
      held.set(run.job.queue, (held.get(run.job.queue) ?? 0) + group.length)
      this.#tell(run.job.type)
    }
    for (const [queue, count] of held) if (count * 2 >= slots) onHalf?.(queue)
    return held
  }

  #isStuck(group: readonly Run[]): boolean {
    if (!group.every(({ abortCause }) => abortCause)) return false
    const now = performance.now()
    const since = this.#since.get(group) ?? now
    this.#since.set(group, since)
    return now - since >= endWithinMs
  }

  #tell(type: string): void {
    if (this.#told.has(type)) return
    this.#told.add(type)
    this.#options.log.error(
      { type },
      `A handler of ${type} has gone on for ${endWithinMs / 1_000} s after its time-out or cancellation, and keeps its slot. Pass ctx.signal on to whatever it waits for.`,
    )
  }
}
