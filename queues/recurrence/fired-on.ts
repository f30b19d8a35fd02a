import { previewRuns } from './preview.ts'
import type { RecurrenceRule } from './recurrence.ts'

const dayMs = 86_400_000

/**
 * For tests: what fires on a day of the rule's zone, one by one.
 *
 * @param day for instance `2026-03-29`.
 * @returns what clocks show then, their distance from UTC and the remark, for instance `03:00:00+02:00 moved`.
 */
export function firedOn(day: string, rule: RecurrenceRule): string[] {
  const fired: string[] = []
  const endMs = Date.parse(day) + 2 * dayMs
  for (let after = new Date(Date.parse(day) - dayMs); after.getTime() < endMs;) {
    const [run] = previewRuns(rule, after, 1)
    if (!run) break
    const time = run.local.slice(11, run.local.indexOf('['))
    if (run.local.startsWith(day)) fired.push(run.remark ? `${time} ${run.remark}` : time)
    after = run.at
  }
  return fired
}
