import { newId } from '@jobyard/db/ids'
import type { DueSchedule, Firing, NewOccurrence } from '@jobyard/db/occurrences'
import type { Occurrence, Recurrence } from '../recurrence/recurrence.ts'
import { dueAt, firingOf } from './stored-rule.ts'

/** How late an occurrence may be and still be fired as if in time, in milliseconds; a later one was missed. */
export const graceMs = 60_000
/** Occurrences within the grace: a schedule fires each second at most. */
const mostInGrace = graceMs / 1_000 + 1

/**
 * Decides what becomes of each occurrence of a schedule that has passed, by the clock of Postgres. One that is late by no more than
 * {@link graceMs} is fired. Earlier ones were missed: the last of them is fired, or the last `missedMax`, or none, as the schedule says;
 * the others are recorded together. Where runs may not overlap, the first is fired if the last run has ended, or the last one in its place;
 * the others are recorded as overlapped.
 */
export function planFiring(schedule: DueSchedule, recurrence: Recurrence): Firing {
  const { nextAt, now } = schedule
  const following = recurrence.next(nextAt)
  const isAlone = !following || following.at > now
  const before = new Date(nextAt.getTime() - 1)
  const mostCaughtUp = { skip: 0, once: 1, all: schedule.missedMax }[schedule.missed]
  const { occurrences, count } = isAlone
    ? { occurrences: [{ at: nextAt }], count: 1 }
    : recurrence.missed(before, now, mostCaughtUp + 1 + mostInGrace)
  const isDue = ({ at }: Occurrence) => dueAt(schedule, at) <= now
  const due = occurrences.slice(0, Math.max(occurrences.findLastIndex(isDue), 0) + 1)
  const isLate = ({ at }: Occurrence) => now.getTime() - dueAt(schedule, at).getTime() > graceMs
  const late = due.filter(isLate)
  const left = late.slice(0, Math.max(late.length - mostCaughtUp, 0))
  const fired = due.slice(left.length)
  const earlier = count === undefined ? undefined : count - occurrences.length
  const runs = byOverlap(schedule, fired)
  const madeUpFor = runs.slice(0, late.length - left.length).filter(({ outcome }) => outcome === 'due').length
  return {
    schedule,
    occurrences: [...recordMissed(nextAt, left, earlier), ...runs],
    next: firingOf(schedule, isAlone ? following : recurrence.next(due.at(-1)?.at ?? before)),
    missed: late.length === 0 ? undefined : tellMissed(nextAt, late, { earlier, fired: madeUpFor }),
  }
}

/** @param earlier how many were left before these, if they were counted. */
function recordMissed(first: Date, left: readonly Occurrence[], earlier: number | undefined): NewOccurrence[] {
  const last = left.at(-1)
  if (!last) return []
  const count = earlier === undefined ? undefined : earlier + left.length
  return [{ at: first, outcome: 'missed', jobId: newId(), through: last.at, count }]
}

function tellMissed(
  from: Date,
  late: readonly Occurrence[],
  { earlier, fired }: { readonly earlier: number | undefined; readonly fired: number },
) {
  const count = earlier === undefined ? undefined : earlier + late.length
  return { id: newId(), from, through: late.at(-1)?.at ?? from, count, fired }
}

function byOverlap({ overlap }: DueSchedule, fired: readonly Occurrence[]): NewOccurrence[] {
  const chosen = overlap === 'skip' ? fired[0] : fired.at(-1)
  return fired.map((occurrence) => ({
    at: occurrence.at,
    jobId: newId(),
    outcome: overlap === 'allow' || occurrence === chosen ? 'due' : 'overlapped',
    isExclusive: overlap === 'skip',
  }))
}
