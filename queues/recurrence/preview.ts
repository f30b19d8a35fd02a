import { Temporal } from 'temporal-polyfill'
import { openRecurrence, type Occurrence, type RecurrenceRule } from './recurrence.ts'

/** An occurrence with what clocks of the rule's zone show then, for instance `2026-03-29T03:00:00+02:00[Europe/Berlin]`. */
export interface PreviewedRun extends Occurrence {
  readonly local: string
}

/**
 * The next `count` occurrences strictly after, for people to look at.
 *
 * @throws RecurrenceError if the rule cannot be.
 */
export function previewRuns(rule: RecurrenceRule, after: Date, count: number): PreviewedRun[] {
  const timeZone = rule.timeZone ?? 'UTC'
  return openRecurrence(rule)
    .take(after, count)
    .map((each) => ({ ...each, local: localTime(each.at, timeZone) }))
}

const localTime = (at: Date, timeZone: string) =>
  Temporal.Instant.fromEpochMilliseconds(at.getTime()).toZonedDateTimeISO(timeZone).toString()
