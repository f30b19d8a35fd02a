import type { OccurrenceRow } from '@jobyard/db/occurrences'
import type { ListedSchedule, ScheduleSummary, ScheduleWithLast } from '@jobyard/db/schedules'
import type { JobStatus } from '@jobyard/db/statuses'
import { describeRecurrence } from '@jobyard/queues/recurrence/describe'
import { openRule, ruleOf } from '@jobyard/queues/schedules/stored-rule'
import type { z } from 'zod'
import { instants } from './instants.ts'
import type { occurrenceSchema, scheduleSchema, scheduleSummarySchema } from './schedule-schemas.ts'

export type ScheduleView = z.output<typeof scheduleSchema>
export type ScheduleSummaryView = z.output<typeof scheduleSummarySchema>
export type OccurrenceView = z.output<typeof occurrenceSchema>

const shownRuns = 5

/** The schedule as clients see it. */
export function viewSchedule(row: ScheduleWithLast): ScheduleView {
  const { input, metadata } = row
  return { ...viewListedSchedule(row), input, metadata }
}

/** The same in a listing, without what may be large. */
export function viewListedSchedule(row: ListedSchedule): ScheduleSummaryView {
  const { timeZone = 'UTC', ...rule } = row.rule
  return {
    name: row.name,
    source: row.source,
    description: describeRecurrence(ruleOf(row)),
    type: row.type,
    queue: row.queue,
    ...rule,
    timeZone,
    jitterMs: row.jitterMs,
    missed: row.missed,
    missedMax: row.missedMax,
    overlap: row.overlap,
    paused: row.paused,
    priority: row.priority,
    maxAttempts: row.maxAttempts,
    timeoutMs: row.timeoutMs,
    tags: [...row.tags],
    nextRuns: nextRuns(row),
    ...(row.lastJobId && { lastRun: viewRun(row.lastJobId, row.lastStatus) }),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

function nextRuns(row: ScheduleSummary): string[] {
  if (!row.nextAt || row.paused) return []
  const justBefore = new Date(row.nextAt.getTime() - 1)
  return openRule(row)
    .take(justBefore, shownRuns)
    .map(({ at }) => at.toISOString())
}

/** The occurrence as clients see it. */
export function viewOccurrence(row: OccurrenceRow): OccurrenceView {
  return {
    at: row.at.toISOString(),
    manual: row.manual,
    outcome: row.outcome,
    ...(row.jobId && { job: viewRun(row.jobId, row.jobStatus) }),
    ...instants({ through: row.through }),
    ...(row.count !== null && { count: row.count }),
    recordedAt: row.recordedAt.toISOString(),
  }
}

function viewRun(jobId: string, status: JobStatus | null) {
  return { jobId, ...(status && { status }) }
}
