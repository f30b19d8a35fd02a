import type { ScheduleRule } from '@jobyard/db/schedules'

/** When a schedule fires, as it is stored, but for its instants, which are dates here. */
export interface RecurrenceRule extends Omit<ScheduleRule, 'anchor' | 'startsAt' | 'endsAt'> {
  /** Default `startsAt`, else 1970-01-01T00:00:00Z. */
  readonly anchor?: Date | undefined
  readonly startsAt?: Date | undefined
  readonly endsAt?: Date | undefined
}

/** One firing of a schedule. */
export interface Occurrence {
  readonly at: Date
  /** `moved`: stands for times that clocks skipped. `repeated`: its wall time has fired an hour (or what the shift is) before. */
  readonly remark?: 'moved' | 'repeated'
}

export interface MissedOccurrences {
  /** The last ones, oldest first. */
  readonly occurrences: Occurrence[]
  /** Of all there are; undefined when there are more than 10,000. With `everyMs` always exact. */
  readonly count: number | undefined
}

/** A rule that was found good. It has no clock and no state: the same question has the same answer. */
export interface Recurrence {
  /** The first occurrence strictly after; undefined when there is none within fifty years. */
  next(after: Date): Occurrence | undefined
  /** The next `count` occurrences strictly after; fewer when there are no more. */
  take(after: Date, count: number): Occurrence[]
  /** The last `limit` occurrences after `after` up to and including `through`. Takes no longer for a long time than for a short one. */
  missed(after: Date, through: Date, limit: number): MissedOccurrences
}

/** Thrown for a rule that cannot be: the message says what is wrong and how to mend it. */
export class RecurrenceError extends Error {
  override readonly name = 'RecurrenceError'
  /** Which property of the rule, or of the schedule, is to be mended. */
  readonly field: 'cron' | 'timeZone' | 'everyMs' | 'anchor' | 'startsAt' | 'endsAt' | 'jitterMs'

  constructor(field: RecurrenceError['field'], message: string) {
    super(message)
    this.field = field
  }
}
