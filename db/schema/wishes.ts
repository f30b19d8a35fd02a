import { pgTable, text, timestamp } from 'drizzle-orm/pg-core'

/** Events that somebody who reads a stream asks for, and how long he does; those of endpoints stand with them. */
export const wishes = pgTable('wishes', {
  type: text('type').primaryKey(),
  until: timestamp('until', { withTimezone: true, mode: 'date' }).notNull(),
})
