import { boolean, pgTable, text } from 'drizzle-orm/pg-core'

/** Queues that were ever served. `paused` is the truth; the carrier mirrors it. */
export const queues = pgTable('queues', {
  name: text('name').primaryKey(),
  paused: boolean('paused').notNull().default(false),
})
