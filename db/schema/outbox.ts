import { bigint, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * The log of events, each committed with its cause. The id of a terminal event is the id of its job,
 * so the primary key allows one per job. `position` is stamped by the relay. Events go with their `endings`.
 */
export const outbox = pgTable('outbox', {
  id: uuid('id').primaryKey(),
  tenant: text('tenant').notNull(),
  jobId: uuid('job_id').notNull(),
  type: text('type').notNull(),
  position: bigint('position', { mode: 'number' }),
  occurredAt: timestamp('occurred_at', { withTimezone: true, mode: 'date' }).notNull(),
})
