import { RecurrenceError, type Recurrence } from '../recurrence/recurrence.ts'

/** Occurrences whose distances are looked at. */
const looked = 10

/** @throws RecurrenceError of `jitterMs` where an occurrence could be fired as late as the one after it. */
export function refuseWideJitter(
  { jitterMs }: { readonly jitterMs: number },
  recurrence: Recurrence,
  after: Date,
): void {
  if (jitterMs === 0) return
  const moments = recurrence.take(after, looked).map(({ at }) => at.getTime())
  const closest = Math.min(...moments.slice(1).map((at, index) => at - (moments[index] ?? at)))
  if (jitterMs >= closest)
    throw new RecurrenceError('jitterMs', `must be below the time between two occurrences, which is ${closest} ms`)
}
