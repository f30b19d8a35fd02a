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
 * The partial indexes go by columns that are set in one status only, not by the status: a statement that names ids and the status
 * they must have then has the primary key alone to choose, even while the statistics say that the table is empty.
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
    workerId: uuid('worker_id'),
    cancelRequestedAt: instant('cancel_requested_at'),
    ticketedAt: instant('ticketed_at'),
    progress: real('progress'),
    progressNote: text('progress_note'),
    redriveOf: uuid('redrive_of'),
    createdAt: instant('created_at').notNull(),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
  },
  (job) => [
    index('jobs_ready')
      .on(job.queue, job.priority, job.ticketedAt)
      .where(sql`ticketed_at is not null`),
    index('jobs_suspect')
      .on(job.queue, job.ticketedAt)
      .where(sql`ticketed_at is not null and crashes >= 2`),
    index('jobs_due')
      .on(job.runAt)
      .where(sql`run_at is not null and status in ('scheduled', 'retrying')`),
    index('jobs_running')
      .on(job.workerId)
      .where(sql`worker_id is not null`),
    index('jobs_finished')
      .on(job.queue, job.status, job.finishedAt)
      .where(sql`finished_at is not null`),
    index('jobs_by_tenant').on(job.tenant, job.id),
    check('jobs_status', sql`status in ('scheduled', 'queued', 'running', 'retrying', ${terminal})`),
    check('jobs_finished_at', sql`(finished_at is not null) = (status in (${terminal}))`),
    check('jobs_worker', sql`(worker_id is not null) = (status = 'running')`),
    check('jobs_ticketed', sql`(ticketed_at is not null) = (status = 'queued')`),
  ],
)
