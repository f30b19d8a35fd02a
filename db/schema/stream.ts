import { sql } from 'drizzle-orm'
import { bigint, boolean, check, pgTable } from 'drizzle-orm/pg-core'

/** The one stream of all events: one row. */
export const stream = pgTable(
  'stream',
  {
    only: boolean('only').primaryKey().default(true),
    /** Position of the last event that has one. */
    head: bigint('head', { mode: 'number' }).notNull().default(0),
    /** Position of the last event that is deleted: who has read less far has missed something. */
    tail: bigint('tail', { mode: 'number' }).notNull().default(0),
  },
  (row) => [check('stream_only', sql`${row.only}`)],
)
