/** When a schedule fires: either `cron`, with what goes with it, or `everyMs`; what belongs to the other kind is not looked at. */
export interface RecurrenceRule {
  /** Five fields: minute, hour, day of month, month, day of week; six, seconds first, if `seconds` is true. */
  readonly cron?: string | undefined
  readonly seconds?: boolean | undefined
  /** IANA name of the zone whose wall clocks `cron` means; default `UTC`. */
  readonly timeZone?: string | undefined
  /** A time that clocks skip fires right `after` the gap (default), or is dropped. */
  readonly skipped?: 'after' | 'drop' | undefined
  /** A time that clocks show twice fires once or twice; `auto` (default) is twice if the expression takes every hour of a day, else once. */
  readonly repeated?: 'auto' | 'once' | 'twice' | undefined
  /** Milliseconds between occurrences, whatever clocks do: a whole number from 1,000 to 366 days. */
  readonly everyMs?: number | undefined
  /** An instant of the row that `everyMs` makes in both directions; default `startsAt`, else 1970-01-01T00:00:00Z. */
  readonly anchor?: Date | undefined
  /** No occurrence is before this instant. */
  readonly startsAt?: Date | undefined
  /** No occurrence is after this instant. */
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
