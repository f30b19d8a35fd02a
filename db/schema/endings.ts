import { index, integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * The jobs that one statement ended, per queue, tenant and status: what stands in for an index of the ended rows of `jobs`
 * (docs/decisions/0009-live-jobs.md). `queue` is null once the jobs are deleted and only their events are kept.
 */
export const endings = pgTable(
  'endings',
  {
    queue: text('queue'),
    tenant: text('tenant').notNull(),
    status: text('status').notNull(),
    endedAt: timestamp('ended_at', { withTimezone: true, mode: 'date' }).notNull(),
    jobIds: uuid('job_ids').array().notNull(),
    /** How many ids there are. */
    jobs: integer('jobs').notNull(),
  },
  (ending) => [index('endings_by_time').on(ending.queue, ending.status, ending.endedAt)],
)
