import { takeNext, type Bounds } from './bounds.ts'
import type { MissedOccurrences, Occurrence, Recurrence } from './rule.ts'
import type { Stretch, WallClock } from './wall-clock.ts'
import type { WallTimes } from './wall-times.ts'

export interface CronBehaviour extends Bounds {
  /** A wall time that clocks skip fires at the end of the gap. */
  readonly movesSkipped: boolean
  /** A wall time that clocks show twice fires twice. */
  readonly firesTwice: boolean
}

const earliestMs = Date.UTC(1900, 0, 1)
/** Croner looks no further than the year 2999. */
const latestMs = Date.UTC(2999, 0, 1)
/** Dates of the calendar are at most 40 years apart: fifth Mondays of February, 2072 and 2112. */
const horizonMs = 50 * 366 * 86_400_000
/** More than clocks ever are from UTC, and more than they were ever moved at once. */
const twoDaysMs = 2 * 86_400_000
const maxCounted = 10_000

/**
 * Brings wall times to the instants at which a zone's clocks show them. It goes from stretch to stretch: within one, clocks keep
 * their distance from UTC, so that the order of instants is that of wall times; at its start, clocks have skipped a time or begin to repeat one.
 */
export class CronRecurrence implements Recurrence {
  readonly #wallTimes: WallTimes
  readonly #clock: WallClock
  readonly #behaviour: CronBehaviour

  constructor(wallTimes: WallTimes, clock: WallClock, behaviour: CronBehaviour) {
    this.#wallTimes = wallTimes
    this.#clock = clock
    this.#behaviour = behaviour
  }

  next(after: Date): Occurrence | undefined {
    let doneMs = Math.max(after.getTime(), this.#startMs - 1)
    const untilMs = Math.min(doneMs + horizonMs, this.#endMs)
    while (doneMs < untilMs) {
      const stretch = this.#clock.stretchAt(doneMs + 1)
      const moved = doneMs < stretch.startMs ? this.#movedTo(stretch) : undefined
      if (moved) return within(moved, untilMs)
      const firstWallMs = Math.max(doneMs + 1 + stretch.offsetMs, this.#firstWallOf(stretch))
      const wallMs = this.#wallTimes.next(firstWallMs - 1) ?? Infinity
      if (wallMs - stretch.offsetMs < stretch.endMs) return within(occurrence(wallMs, stretch), untilMs)
      const isShort = stretch.endMs - doneMs <= twoDaysMs
      doneMs = isShort ? stretch.endMs - 1 : Math.max(stretch.endMs - 1, wallMs - twoDaysMs)
    }
    return undefined
  }

  take(after: Date, count: number): Occurrence[] {
    return takeNext(this, after, count)
  }

  missed(after: Date, through: Date, limit: number): MissedOccurrences {
    const floorMs = Math.max(after.getTime(), this.#startMs - 1)
    const occurrences: Occurrence[] = []
    let count = 0
    let last = this.#lastThrough(Math.min(through.getTime(), this.#endMs), floorMs)
    while (last && (count <= maxCounted || count < limit)) {
      count += 1
      if (count <= limit) occurrences.push(last)
      last = this.#lastThrough(last.at.getTime() - 1, floorMs)
    }
    return { occurrences: occurrences.toReversed(), count: count > maxCounted ? undefined : count }
  }

  /** The last occurrence up to and including an instant, if it is after the floor. */
  #lastThrough(throughMs: number, floorMs: number): Occurrence | undefined {
    let leftMs = throughMs
    while (leftMs > floorMs) {
      const stretch = this.#clock.stretchAt(leftMs)
      const wallMs = this.#wallTimes.previous(leftMs + stretch.offsetMs)
      if (wallMs === undefined) return undefined
      const found = wallMs >= this.#firstWallOf(stretch) ? occurrence(wallMs, stretch) : this.#movedTo(stretch)
      if (found) return found.at.getTime() > floorMs ? found : undefined
      const isShort = leftMs - stretch.startMs <= twoDaysMs
      leftMs = isShort ? stretch.startMs - 1 : Math.min(stretch.startMs - 1, wallMs + twoDaysMs)
    }
    return undefined
  }

  /** What fires at the start of a stretch for the wall times that clocks skipped there, unless one fires there anyway. */
  #movedTo({ startMs, offsetMs, offsetBeforeMs }: Stretch): Occurrence | undefined {
    if (!this.#behaviour.movesSkipped || offsetMs <= offsetBeforeMs) return undefined
    const skippedMs = this.#wallTimes.next(startMs + offsetBeforeMs - 1) ?? Infinity
    if (skippedMs >= startMs + offsetMs) return undefined
    const isRegular = this.#wallTimes.next(startMs + offsetMs - 1) === startMs + offsetMs
    return isRegular ? { at: new Date(startMs) } : { at: new Date(startMs), remark: 'moved' }
  }

  /** The first wall time of a stretch that may fire: not one that was shown before, unless such fire twice. */
  #firstWallOf({ startMs, offsetMs, offsetBeforeMs }: Stretch): number {
    return startMs + (this.#behaviour.firesTwice ? offsetMs : Math.max(offsetMs, offsetBeforeMs))
  }

  get #startMs(): number {
    return Math.max(this.#behaviour.startMs, earliestMs)
  }

  get #endMs(): number {
    return Math.min(this.#behaviour.endMs, latestMs)
  }
}

function occurrence(wallMs: number, { startMs, offsetMs, offsetBeforeMs }: Stretch): Occurrence {
  const at = new Date(wallMs - offsetMs)
  return wallMs < startMs + offsetBeforeMs ? { at, remark: 'repeated' } : { at }
}

const within = (each: Occurrence, untilMs: number) => (each.at.getTime() <= untilMs ? each : undefined)
