import { and, arrayContains, desc, eq, gte, lt, type SQL } from 'drizzle-orm'
import type { Database, Sql } from './connect.ts'
import { jobs } from './schema/jobs.ts'
import type { JobError } from './settle.ts'
import type { JobStatus, Outcome } from './statuses.ts'
import { unwrapped } from './trouble.ts'

/** A job as it stands in the record. */
export interface JobRow {
  readonly id: string
  readonly tenant: string
  readonly type: string
  readonly queue: string
  readonly status: JobStatus
  readonly priority: number
  readonly input: unknown
  readonly output: unknown
  readonly error: JobError | null
  readonly metadata: Record<string, unknown>
  readonly tags: string[]
  readonly internal: boolean
  readonly runAt: Date | null
  readonly expiresAt: Date | null
  readonly maxAttempts: number
  readonly timeoutMs: number
  readonly attemptsMade: number
  readonly crashes: number
  readonly epoch: number
  readonly progress: number | null
  readonly progressNote: string | null
  readonly redriveOf: string | null
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
}

/** One execution that did not simply complete. */
export interface AttemptRow {
  readonly attempt: number
  readonly outcome: Outcome
  readonly error: JobError | null
  readonly workerId: string | null
  readonly startedAt: Date
  readonly finishedAt: Date
}

/** @returns the tenant's job, or undefined. */
export async function getJob(sql: Sql, tenant: string, id: string): Promise<JobRow | undefined> {
  const [row] = await sql<JobRow[]>`select ${jobColumns(sql)} from jobs where id = ${id} and tenant = ${tenant}`
  return row
}

/** @returns the attempts of a job that did not simply complete, in order. */
export async function getAttempts(sql: Sql, tenant: string, id: string): Promise<AttemptRow[]> {
  return sql<AttemptRow[]>`
    select attempt, outcome, error, worker_id, started_at, finished_at from attempts
    where job_id = ${id} and tenant = ${tenant} order by epoch`
}

function jobColumns(sql: Sql) {
  return sql`id, tenant, type, queue, status, priority, input, output, error, metadata, tags, internal, run_at, expires_at, max_attempts,
    timeout_ms, attempts_made, crashes, epoch, progress, progress_note, redrive_of, created_at, started_at, finished_at`
}

/** @returns those of `ids` that have ended. */
export async function findFinished(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const rows = await sql<
    { id: string }[]
  >`select id from jobs where id = any(${[...ids]}::uuid[]) and finished_at is not null`
  return rows.map((row) => row.id)
}

/** What a listing may be narrowed to. */
export interface JobFilter {
  readonly type?: string | undefined
  readonly status?: JobStatus | undefined
  readonly queue?: string | undefined
  readonly tag?: string | undefined
  readonly createdAfter?: Date | undefined
  readonly createdBefore?: Date | undefined
  /** Only jobs older than this one: where the page before ended. */
  readonly before?: string | undefined
}

/** A row of a listing: the job without input and output. */
export type JobSummary = Omit<JobRow, 'input' | 'output'>

const summary = {
  id: jobs.id,
  tenant: jobs.tenant,
  type: jobs.type,
  queue: jobs.queue,
  status: jobs.status,
  priority: jobs.priority,
  error: jobs.error,
  metadata: jobs.metadata,
  tags: jobs.tags,
  internal: jobs.internal,
  runAt: jobs.runAt,
  expiresAt: jobs.expiresAt,
  maxAttempts: jobs.maxAttempts,
  timeoutMs: jobs.timeoutMs,
  attemptsMade: jobs.attemptsMade,
  crashes: jobs.crashes,
  epoch: jobs.epoch,
  progress: jobs.progress,
  progressNote: jobs.progressNote,
  redriveOf: jobs.redriveOf,
  createdAt: jobs.createdAt,
  startedAt: jobs.startedAt,
  finishedAt: jobs.finishedAt,
}

/**
 * Lists a tenant's jobs, newest first. Internal types are left out unless the filter names their type.
 *
 * @param limit rows at most.
 * @throws the driver's error.
 */
export async function listJobs(
  orm: Database['orm'],
  tenant: string,
  filter: JobFilter,
  limit: number,
): Promise<JobSummary[]> {
  const conditions: (SQL | undefined)[] = [
    eq(jobs.tenant, tenant),
    filter.type === undefined ? eq(jobs.internal, false) : eq(jobs.type, filter.type),
    filter.status && eq(jobs.status, filter.status),
    filter.queue ? eq(jobs.queue, filter.queue) : undefined,
    filter.tag ? arrayContains(jobs.tags, [filter.tag]) : undefined,
    filter.createdAfter && gte(jobs.createdAt, filter.createdAfter),
    filter.createdBefore && lt(jobs.createdAt, filter.createdBefore),
    filter.before ? lt(jobs.id, filter.before) : undefined,
  ]
  const rows = await orm
    .select(summary)
    .from(jobs)
    .where(and(...conditions))
    .orderBy(desc(jobs.id))
    .limit(limit)
    .catch((error: unknown) => {
      throw unwrapped(error)
    })
  return rows as JobSummary[]
}
