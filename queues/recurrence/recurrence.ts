import { CronRecurrence } from './cron-recurrence.ts'
import { parseCron } from './cron-fields.ts'
import { IntervalRecurrence } from './interval-recurrence.ts'
import { RecurrenceError, type Recurrence, type RecurrenceRule } from './rule.ts'
import { WallClock } from './wall-clock.ts'
import { WallTimes } from './wall-times.ts'

export { RecurrenceError } from './rule.ts'
export type { MissedOccurrences, Occurrence, Recurrence, RecurrenceRule } from './rule.ts'

const minEveryMs = 1_000
const maxEveryMs = 366 * 86_400_000

/**
 * Takes less than a tenth of a millisecond; the first rule of a zone, and one that never fires, some milliseconds.
 *
 * @throws RecurrenceError if the rule cannot be.
 */
export function openRecurrence(rule: RecurrenceRule): Recurrence {
  checkDates(rule)
  const clock = WallClock.of(rule.timeZone ?? 'UTC')
  const bounds = { startMs: rule.startsAt?.getTime() ?? -Infinity, endMs: rule.endsAt?.getTime() ?? Infinity }
  if (rule.cron !== undefined && rule.everyMs !== undefined)
    throw new RecurrenceError('cron', 'cron and everyMs cannot go together: give one of them.')
  if (rule.everyMs !== undefined) {
    checkInterval(rule.everyMs)
    return new IntervalRecurrence(rule.everyMs, (rule.anchor ?? rule.startsAt ?? new Date(0)).getTime(), bounds)
  }
  if (rule.cron === undefined)
    throw new RecurrenceError('cron', 'cron is missing: give it, for instance "0 9 * * 1-5", or everyMs instead.')
  const wallTimes = new WallTimes(parseCron(rule.cron, rule.seconds ?? false))
  const repeated = rule.repeated ?? 'auto'
  return new CronRecurrence(wallTimes, clock, {
    ...bounds,
    movesSkipped: (rule.skipped ?? 'after') === 'after',
    firesTwice: repeated === 'twice' || (repeated === 'auto' && wallTimes.takesEveryHour),
  })
}

function checkInterval(everyMs: number): void {
  if (!Number.isInteger(everyMs) || everyMs < minEveryMs || everyMs > maxEveryMs)
    throw new RecurrenceError(
      'everyMs',
      `everyMs is ${everyMs}, and must be a whole number of milliseconds from ${minEveryMs} (a second) to ${maxEveryMs} (366 days).`,
    )
}

function checkDates({ anchor, startsAt, endsAt }: RecurrenceRule): void {
  for (const [field, date] of Object.entries({ anchor, startsAt, endsAt }))
    if (date && Number.isNaN(date.getTime()))
      throw new RecurrenceError(
        field as 'anchor' | 'startsAt' | 'endsAt',
        `${field} is no date: write it as 2026-03-29T01:00:00Z.`,
      )
  if (startsAt && endsAt && endsAt <= startsAt)
    throw new RecurrenceError('endsAt', `endsAt must be after startsAt, which is ${startsAt.toISOString()}.`)
}
