import type { AttemptRow, JobRow, JobSummary } from '@jobyard/db/jobs'
import type { Acceptance, NewJob } from '@jobyard/db/intake'
import type { z } from 'zod'
import { instants } from './instants.ts'
import type { attemptSchema, jobSchema, jobSummarySchema } from './schemas.ts'

export type JobView = z.output<typeof jobSchema>
export type JobSummaryView = z.output<typeof jobSummarySchema>
type AttemptView = z.output<typeof attemptSchema>

/** The job as clients see it. */
export function viewJob(row: JobRow, attempts: readonly AttemptRow[]): JobView {
  return {
    ...viewSummary(row),
    input: row.input,
    ...(row.status === 'completed' && { output: row.output }),
    attempts: [...attempts.map(viewAttempt), ...completingAttempt(row)],
  }
}

/** A row of a listing as clients see it. */
export function viewSummary(row: JobSummary): JobSummaryView {
  return {
    id: row.id,
    type: row.type,
    queue: row.queue,
    status: row.status,
    ...(row.error && { error: row.error }),
    attemptsMade: row.attemptsMade,
    maxAttempts: row.maxAttempts,
    timeoutMs: row.timeoutMs,
    ...(row.progress !== null && { progress: row.progress }),
    ...(row.progressNote !== null && { progressNote: row.progressNote }),
    priority: row.priority,
    ...instants({ runAt: row.runAt, expiresAt: row.expiresAt }),
    createdAt: row.createdAt.toISOString(),
    ...instants({ startedAt: row.startedAt, finishedAt: row.finishedAt }),
    ...(row.deduplicationKey !== null && { deduplicationKey: row.deduplicationKey }),
    ...(row.redriveOf && { redriveOf: row.redriveOf }),
    ...(row.redrivenAs && { redrivenAs: row.redrivenAs }),
    tags: row.tags,
    metadata: row.metadata,
  }
}

/** The job as it was the moment it was accepted. */
export function viewAccepted(
  job: NewJob,
  input: unknown,
  metadata: Record<string, unknown>,
  accepted: Acceptance,
): JobView {
  return {
    id: accepted.id,
    type: job.type,
    queue: job.queue,
    status: accepted.status,
    input,
    attempts: [],
    attemptsMade: 0,
    maxAttempts: job.maxAttempts,
    timeoutMs: job.timeoutMs,
    priority: job.priority,
    ...instants({ runAt: accepted.runAt, expiresAt: job.expiresAt ?? null }),
    createdAt: accepted.createdAt.toISOString(),
    ...(job.deduplicationKey !== undefined && { deduplicationKey: job.deduplicationKey }),
    ...(job.redriveOf && { redriveOf: job.redriveOf }),
    tags: [...job.tags],
    metadata,
  }
}

/** An attempt that did not simply complete, as clients see it. */
export function viewAttempt(row: AttemptRow): AttemptView {
  return {
    attempt: row.attempt,
    outcome: row.outcome,
    startedAt: row.startedAt.toISOString(),
    finishedAt: row.finishedAt.toISOString(),
    ...(row.error && { error: row.error }),
  }
}

/** The attempt that completed has no row of its own: the job says all there is. */
function completingAttempt(row: JobRow): AttemptView[] {
  if (row.status !== 'completed' || !row.startedAt || !row.finishedAt) return []
  return [
    {
      attempt: row.attemptsMade,
      outcome: 'completed',
      startedAt: row.startedAt.toISOString(),
      finishedAt: row.finishedAt.toISOString(),
    },
  ]
}
