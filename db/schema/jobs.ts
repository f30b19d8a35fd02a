import { sql } from 'drizzle-orm'
import {
  boolean,
  check,
  index,
  integer,
  json,
  pgTable,
  real,
  smallint,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'
import { terminalStatusList } from '../statuses.ts'

const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })
const terminal = sql.raw(terminalStatusList)

/**
 * The durable record: one row a job. Every transition is one conditional statement on this table.
 *
 * No index has a column that changes while a job is queued, claimed and completed, so that both updates stay within their page
 * (HOT) and touch no index. Which jobs are queued, running and ended is listed in `arrivals`, `claims` and `endings`.
 */
export const jobs = pgTable(
  'jobs',
  {
    id: uuid('id').primaryKey(),
    tenant: text('tenant').notNull(),
    type: text('type').notNull(),
    queue: text('queue').notNull(),
    status: text('status').notNull(),
    priority: smallint('priority').notNull(),
    input: json('input').notNull(),
    output: json('output'),
    error: json('error'),
    metadata: json('metadata').notNull(),
    tags: text('tags').array().notNull(),
    internal: boolean('internal').notNull(),
    runAt: instant('run_at'),
    expiresAt: instant('expires_at'),
    maxAttempts: integer('max_attempts').notNull(),
    timeoutMs: integer('timeout_ms').notNull(),
    attemptsMade: integer('attempts_made').notNull().default(0),
    crashes: smallint('crashes').notNull().default(0),
    epoch: integer('epoch').notNull().default(0),
    /** The process that runs the job, or ran it last. */
    workerId: uuid('worker_id'),
    cancelRequestedAt: instant('cancel_requested_at'),
    ticketedAt: instant('ticketed_at'),
    /** `run_at` while the job waits for it. */
    dueAt: instant('due_at'),
    progress: real('progress'),
    progressNote: text('progress_note'),
    /** Events with data that were written of it; null is none. */
    told: integer('told'),
    redriveOf: uuid('redrive_of'),
    /** The job that was last made of this one, which had failed or was cancelled. */
    redrivenAs: uuid('redriven_as'),
    /** Unfinished jobs of a type that share it are one. */
    deduplicationKey: text('deduplication_key'),
    createdAt: instant('created_at').notNull(),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
  },
  (job) => [
    index('jobs_due')
      .on(job.dueAt)
      .where(sql`due_at is not null`),
    // Nulls are first, though there are none, so that no other index has this order.
    index('jobs_by_type').on(job.tenant, job.type, job.id.asc().nullsFirst()),
    check('jobs_status', sql`status in ('scheduled', 'queued', 'running', 'retrying', ${terminal})`),
    check('jobs_finished_at', sql`(finished_at is not null) = (status in (${terminal}))`),
    check('jobs_worker', sql`status <> 'running' or worker_id is not null`),
    check('jobs_ticketed', sql`(ticketed_at is not null) = (status = 'queued')`),
    check('jobs_due_at', sql`(due_at is not null) = (status in ('scheduled', 'retrying'))`),
  ],
)
