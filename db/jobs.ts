import type { Sql } from './connect.ts'
import type { JobError } from './settle.ts'
import type { JobStatus, Outcome } from './statuses.ts'

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
  /** The job that was last made of this one. */
  readonly redrivenAs: string | null
  readonly deduplicationKey: string | null
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
  const [row] = await sql<
    JobRow[]
  >`select ${summaryColumns(sql)}, input, output from jobs where id = ${id} and tenant = ${tenant}`
  return row
}

/** @returns the attempts of a job that did not simply complete, in order. */
export async function getAttempts(sql: Sql, tenant: string, id: string): Promise<AttemptRow[]> {
  return sql<AttemptRow[]>`
    select attempt, outcome, error, worker_id, started_at, finished_at from attempts
    where job_id = ${id} and tenant = ${tenant} order by epoch`
}

/** @returns those of `ids` that have ended. */
export async function findFinished(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const rows = await sql<
    { id: string }[]
  >`select id from jobs where id = any(${[...ids]}::uuid[]) and finished_at is not null`
  return rows.map((row) => row.id)
}

/** A row of a listing: the job without input and output. */
export type JobSummary = Omit<JobRow, 'input' | 'output'>

/** The columns of a {@link JobSummary}. */
export function summaryColumns(sql: Sql) {
  return sql`id, tenant, type, queue, status, priority, error, metadata, tags, internal, run_at, expires_at, max_attempts, timeout_ms,
    attempts_made, crashes, epoch, progress, progress_note, redrive_of, redriven_as, deduplication_key, created_at, started_at, finished_at`
}
