import { bigint, integer, json, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** Heartbeats: a running job belongs to the process whose row stands here. */
export const workers = pgTable('workers', {
  id: uuid('id').primaryKey(),
  host: text('host').notNull(),
  pid: integer('pid').notNull(),
  queues: json('queues').notNull().$type<string[]>(),
  concurrency: integer('concurrency').notNull(),
  beat: bigint('beat', { mode: 'number' }).notNull().default(0),
  startedAt: timestamp('started_at', { withTimezone: true, mode: 'date' }).notNull(),
  beatAt: timestamp('beat_at', { withTimezone: true, mode: 'date' }).notNull(),
})
