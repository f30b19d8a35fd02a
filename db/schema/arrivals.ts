import { sql } from 'drizzle-orm'
import { boolean, index, pgTable, smallint, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * The jobs that one statement made ready, per queue and priority: what stands in for an index of the queued rows of `jobs`
 * (docs/decisions/0009-live-jobs.md). A job is still waiting since then if it is queued with this `ticketed_at`; an arrival
 * without such a job is spent, and is deleted in passing.
 */
export const arrivals = pgTable(
  'arrivals',
  {
    queue: text('queue').notNull(),
    priority: smallint('priority').notNull(),
    /** Jobs that have crashed their process before, which have no tickets. */
    suspect: boolean('suspect').notNull(),
    ticketedAt: timestamp('ticketed_at', { withTimezone: true, mode: 'date' }).notNull(),
    jobIds: uuid('job_ids').array().notNull(),
  },
  (arrival) => [
    index('arrivals_lane').on(arrival.queue, arrival.priority, arrival.ticketedAt),
    index('arrivals_suspect')
      .on(arrival.queue, arrival.ticketedAt)
      .where(sql`suspect`),
  ],
)
