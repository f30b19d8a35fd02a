import { sql } from 'drizzle-orm'
import { bigint, index, integer, json, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * The log of events, each committed with its cause. The id of an event that ends a job is the id of the job, so that the primary key
 * allows one per job; it has its place in the stream, and its end, with its `endings`. Every other event carries its `data`, and a
 * `position` of its own.
 */
export const outbox = pgTable(
  'outbox',
  {
    id: uuid('id').primaryKey(),
    tenant: text('tenant').notNull(),
    /** Null for events that are of no job. */
    jobId: uuid('job_id'),
    type: text('type').notNull(),
    occurredAt: timestamp('occurred_at', { withTimezone: true, mode: 'date' }).notNull(),
    /** What happened, for events that do not end a job; null for those that do. */
    data: json('data'),
    /** Number among the events of its job that carry data, from 1. */
    sequence: integer('sequence'),
    /** Null until the sequencer has been here, and for events that end a job. */
    position: bigint('position', { mode: 'number' }),
  },
  (event) => [
    index('outbox_unplaced')
      .on(event.occurredAt)
      .where(sql`position is null and data is not null`),
    index('outbox_by_position')
      .on(event.position)
      .where(sql`position is not null`),
    index('outbox_by_job')
      .on(event.jobId, event.type, event.position)
      .where(sql`data is not null`),
    index('outbox_of_no_job')
      .on(event.occurredAt)
      .where(sql`job_id is null`),
  ],
)
