import type { Occurrence, Recurrence } from './rule.ts'

/** Between which instants a schedule fires, both included. */
export interface Bounds {
  readonly startMs: number
  readonly endMs: number
}

/** The next occurrences one by one, up to `count`. */
export function takeNext(recurrence: Pick<Recurrence, 'next'>, after: Date, count: number): Occurrence[] {
  const taken: Occurrence[] = []
  for (let last = after; taken.length < count;) {
    const next = recurrence.next(last)
    if (!next) break
    taken.push(next)
    last = next.at
  }
  return taken
}
