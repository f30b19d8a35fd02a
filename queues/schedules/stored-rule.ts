import { createHash } from 'node:crypto'
import type { NextFiring, ScheduleRow } from '@jobyard/db/schedules'
import { openRecurrence, type Occurrence, type Recurrence, type RecurrenceRule } from '../recurrence/recurrence.ts'

/** What decides when a schedule fires. */
export type Timing = Pick<ScheduleRow, 'id' | 'rule' | 'jitterMs' | 'createdAt'>

/** @returns the rule of a schedule. One of `everyMs` without an anchor counts from its start, or from when it was made. */
export function ruleOf({ rule, createdAt }: Pick<Timing, 'rule' | 'createdAt'>): RecurrenceRule {
  const { anchor, startsAt, endsAt, ...others } = rule
  const instant = (text: string | undefined) => (text === undefined ? undefined : new Date(text))
  return {
    ...others,
    anchor: instant(anchor ?? startsAt) ?? createdAt,
    startsAt: instant(startsAt),
    endsAt: instant(endsAt),
  }
}

/** Opens the rule of a schedule. @throws RecurrenceError when it is none. */
export function openRule(timing: Pick<Timing, 'rule' | 'createdAt'>): Recurrence {
  return openRecurrence(ruleOf(timing))
}

/** @returns when an occurrence is to be fired: later by its part of the jitter, which is the same whoever asks. */
export function dueAt({ id, jitterMs }: Pick<Timing, 'id' | 'jitterMs'>, at: Date): Date {
  if (jitterMs === 0) return at
  const digest = createHash('sha256').update(`${id} ${at.getTime()}`).digest()
  return new Date(at.getTime() + Math.floor((digest.readUInt32BE() / 2 ** 32) * jitterMs))
}

/** @returns the first occurrence after a moment, and when it is to be fired. */
export function nextFiring(timing: Timing, recurrence: Recurrence, after: Date): NextFiring {
  return firingOf(timing, recurrence.next(after))
}

/** @returns an occurrence as what comes next. */
export function firingOf(timing: Pick<Timing, 'id' | 'jitterMs'>, next: Occurrence | undefined): NextFiring {
  return next ? { nextAt: next.at, dueAt: dueAt(timing, next.at) } : { nextAt: null, dueAt: null }
}
