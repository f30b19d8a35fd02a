import { bigint, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'

/** What the built-in type `github.event` keeps: counts per repository and event. */
export const githubActivity = pgTable(
  'github_activity',
  {
    tenant: text('tenant').notNull(),
    repository: text('repository').notNull(),
    event: text('event').notNull(),
    events: bigint('events', { mode: 'number' }).notNull(),
    lastAction: text('last_action'),
    lastEventAt: timestamp('last_event_at', { withTimezone: true, mode: 'date' }).notNull(),
  },
  (row) => [primaryKey({ columns: [row.tenant, row.repository, row.event] })],
)
