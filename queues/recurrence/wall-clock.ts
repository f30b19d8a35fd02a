import { Temporal } from 'temporal-polyfill'
import { RecurrenceError } from './rule.ts'

/** A time in which a zone's clocks keep one distance from UTC. */
export interface Stretch {
  /** First instant, -Infinity if there is none. */
  readonly startMs: number
  /** First instant of the stretch after it, Infinity if there is none. */
  readonly endMs: number
  /** What clocks show minus UTC. */
  readonly offsetMs: number
  /** The same, in the stretch before. Less than `offsetMs`: clocks skipped a time at the start; more: they repeat one. */
  readonly offsetBeforeMs: number
}

/** So many that a zone with two changes a year has those of two centuries. */
const maxStretches = 400
const nsPerMs = 1_000_000
const longestNameShown = 64

/** By name in lower case, so that there are no more than zones have names. */
const clocks = new Map<string, WallClock>()

/** How far the clocks of a zone are from UTC, remembered stretch by stretch: finding one takes about half a millisecond. */
export class WallClock {
  readonly #timeZone: string
  /** In order of time; not each that there is. */
  #stretches: Stretch[] = []
  #latest: Stretch | undefined

  /**
   * @param timeZone an IANA name, in any case.
   * @throws RecurrenceError if there is no such zone.
   */
  static of(timeZone: string): WallClock {
    const key = timeZone.toLowerCase()
    const known = clocks.get(key)
    if (known) return known
    if (!isTimeZone(timeZone)) throw new RecurrenceError('timeZone', refusal(timeZone))
    const clock = new WallClock(timeZone)
    clocks.set(key, clock)
    return clock
  }

  private constructor(timeZone: string) {
    this.#timeZone = timeZone
  }

  /** The stretch in which an instant is. */
  stretchAt(instantMs: number): Stretch {
    if (this.#latest && isIn(this.#latest, instantMs)) return this.#latest
    const index = this.#stretches.findLastIndex(({ startMs }) => startMs <= instantMs)
    const candidate = this.#stretches[index]
    this.#latest = candidate && isIn(candidate, instantMs) ? candidate : this.#remember(this.#find(instantMs))
    return this.#latest
  }

  #remember(stretch: Stretch): Stretch {
    if (this.#stretches.length >= maxStretches) this.#stretches = []
    this.#stretches.push(stretch)
    this.#stretches.sort((one, other) => one.startMs - other.startMs)
    return stretch
  }

  #find(instantMs: number): Stretch {
    const local = Temporal.Instant.fromEpochMilliseconds(instantMs).toZonedDateTimeISO(this.#timeZone)
    const end = local.getTimeZoneTransition('next')
    const last = local.add({ nanoseconds: 1 }).getTimeZoneTransition('previous')
    const before = last?.subtract({ nanoseconds: 1 })
    return {
      startMs: last?.epochMilliseconds ?? -Infinity,
      endMs: end?.epochMilliseconds ?? Infinity,
      offsetMs: local.offsetNanoseconds / nsPerMs,
      offsetBeforeMs: (before ?? local).offsetNanoseconds / nsPerMs,
    }
  }
}

const isIn = ({ startMs, endMs }: Stretch, instantMs: number) => startMs <= instantMs && instantMs < endMs

/** `Intl.supportedValuesOf` lacks valid names; Intl takes offsets such as +05:30, and old short names that Temporal does not. */
function isTimeZone(name: string): boolean {
  if (!/^[a-z]/i.test(name)) return false
  try {
    Intl.DateTimeFormat('en', { timeZone: name })
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name)
    return true
  } catch {
    return false
  }
}

function refusal(name: string): string {
  const shown = name.length > longestNameShown ? `${name.slice(0, longestNameShown)}…` : name
  return `timeZone: "${shown}" is no time zone. Take a name of the IANA database, for instance Europe/Berlin or UTC; for a fixed distance from UTC one such as Etc/GMT-5, which is 5 hours ahead.`
}
