import { now } from '../latency/timeline.ts'

/** What came, and when each of it first did, in milliseconds of {@link now}. */
export type Arrivals = ReadonlyMap<string, number>

/** Notes when things first arrive, by id, and lets one wait until so many have. */
export class ArrivalLog {
  #first = new Map<string, number>()
  #wanted = 0
  #enough = Promise.withResolvers<void>()

  /** Different ids so far. */
  get count(): number {
    return this.#first.size
  }

  note(id: string): void {
    if (!this.#first.has(id)) this.#first.set(id, now())
    if (this.#first.size === this.#wanted) this.#enough.resolve()
  }

  /** Waits until so many different ones have come, or the time is up. @returns how many have. */
  async wait(wanted: number, timeoutMs: number): Promise<number> {
    this.#wanted = wanted
    this.#enough = Promise.withResolvers<void>()
    const timer = setTimeout(this.#enough.resolve, timeoutMs)
    if (this.count < wanted) await this.#enough.promise
    clearTimeout(timer)
    return this.count
  }

  /** Starts anew. @returns what came until now. */
  take(): Arrivals {
    const taken = this.#first
    this.#first = new Map()
    return taken
  }
}
