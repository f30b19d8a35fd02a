import { Cron, CronPattern } from 'croner'
import { cronText, type CronFields } from './cron-fields.ts'
import { RecurrenceError } from './rule.ts'

/**
 * Years of the search for a first date. What these 41 years lack never comes: from 1901 to 2099 dates and weekdays repeat every 28 years.
 */
const searchedYears = '2000-2040'
const searchStartMs = Date.UTC(2000, 0, 1) - 1_000

/**
 * The wall-clock times of an expression, as a calendar without zones has them. A wall time is written as the milliseconds of the instant
 * at which clocks of UTC show it.
 */
export class WallTimes {
  readonly #cron: Cron
  readonly #text: string

  /** @throws RecurrenceError if there is no such date, for instance a 30th of February. */
  constructor(fields: CronFields) {
    this.#text = cronText(fields)
    this.#cron = new Cron(this.#text, { mode: '6-part', paused: true, utcOffset: 0 })
    if (!isEver(fields))
      throw new RecurrenceError(
        'cron',
        `cron never fires: day of month "${fields.daysOfMonth}" does not come in month "${fields.months}". Change one of them.`,
      )
  }

  /** Whether the expression takes each of the 24 hours. */
  get takesEveryHour(): boolean {
    return new CronPattern(this.#text, undefined, { mode: '6-part' }).hour.every((taken) => taken === 1)
  }

  /** The first wall time strictly after. */
  next(afterMs: number): number | undefined {
    return this.#cron.nextRun(new Date(afterMs))?.getTime()
  }

  /** The last wall time up to and including. */
  previous(throughMs: number): number | undefined {
    const nextSecond = (Math.floor(throughMs / 1_000) + 1) * 1_000
    return this.#cron.previousRuns(1, new Date(nextSecond))[0]?.getTime()
  }
}

function isEver(fields: CronFields): boolean {
  if (fields.daysOfMonth === '*' && fields.months === '*') return true
  const dates = cronText({ ...fields, seconds: '0', minutes: '0', hours: '0' })
  const cron = new Cron(`${dates} ${searchedYears}`, { mode: '7-part', paused: true, utcOffset: 0 })
  return cron.nextRun(new Date(searchStartMs)) !== null
}
