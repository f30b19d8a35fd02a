import type { MissedOccurrences, Occurrence, Recurrence } from './rule.ts'
import { takeNext, type Bounds } from './bounds.ts'

/** Instants at one distance from each other, in both directions from an anchor. Clocks and zones do not matter to it. */
export class IntervalRecurrence implements Recurrence {
  readonly #everyMs: number
  readonly #anchorMs: number
  readonly #bounds: Bounds

  constructor(everyMs: number, anchorMs: number, bounds: Bounds) {
    this.#everyMs = everyMs
    this.#anchorMs = anchorMs
    this.#bounds = bounds
  }

  next(after: Date): Occurrence | undefined {
    const atMs = this.#instant(this.#indexThrough(Math.max(after.getTime(), this.#bounds.startMs - 1)) + 1)
    return atMs > this.#bounds.endMs || atMs > maxInstantMs ? undefined : { at: new Date(atMs) }
  }

  take(after: Date, count: number): Occurrence[] {
    return takeNext(this, after, count)
  }

  missed(after: Date, through: Date, limit: number): MissedOccurrences {
    const before = this.#indexThrough(Math.max(after.getTime(), this.#bounds.startMs - 1))
    const last = this.#indexThrough(Math.min(through.getTime(), this.#bounds.endMs))
    const count = Math.max(0, last - before)
    const shown = Math.min(count, limit)
    const occurrences = Array.from({ length: shown }, (_, k) => ({
      at: new Date(this.#instant(last - shown + 1 + k)),
    }))
    return { occurrences, count }
  }

  #indexThrough(instantMs: number): number {
    return Math.floor((instantMs - this.#anchorMs) / this.#everyMs)
  }

  #instant(index: number): number {
    return this.#anchorMs + index * this.#everyMs
  }
}

/** The last that a Date can hold. */
const maxInstantMs = 8_640_000_000_000_000
