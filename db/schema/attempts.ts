import { integer, json, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** One row per claim that did not simply complete; the completing attempt stands in the job itself. */
export const attempts = pgTable(
  'attempts',
  {
    jobId: uuid('job_id').notNull(),
    epoch: integer('epoch').notNull(),
    tenant: text('tenant').notNull(),
    attempt: integer('attempt').notNull(),
    outcome: text('outcome').notNull(),
    error: json('error'),
    workerId: uuid('worker_id'),
    startedAt: timestamp('started_at', { withTimezone: true, mode: 'date' }).notNull(),
    finishedAt: timestamp('finished_at', { withTimezone: true, mode: 'date' }).notNull(),
  },
  (attempt) => [primaryKey({ columns: [attempt.jobId, attempt.epoch] })],
)
