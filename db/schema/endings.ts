import { sql } from 'drizzle-orm'
import { bigint, index, integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * The jobs that one statement ended, per queue, tenant and status: what stands in for an index of the ended rows of `jobs`
 * (docs/decisions/0009-live-jobs.md), and gives their events places in the stream (0012-notifications.md). `queue` is null once the
 * jobs are deleted and only their events are kept.
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
    /** How many of them have an event: all, or none if they are internal. */
    events: integer('events').notNull(),
    /** Place of the last event in the stream; that of the others follows from the order of the ids. Null until the sequencer has been here. */
    position: bigint('position', { mode: 'number' }),
  },
  (ending) => [
    index('endings_by_time').on(ending.queue, ending.status, ending.endedAt),
    index('endings_unplaced')
      .on(ending.endedAt)
      .where(sql`position is null and events > 0`),
    index('endings_by_position')
      .on(ending.position)
      .where(sql`position is not null`),
  ],
)
