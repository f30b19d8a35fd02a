import { index, pgTable, smallint, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** What operators and admins have asked for, written before it is done. */
export const auditLog = pgTable(
  'audit_log',
  {
    id: uuid('id').primaryKey(),
    tenant: text('tenant').notNull(),
    /** Id of the key, or the subject of the token. */
    actor: text('actor').notNull(),
    /** The operationId of the call. */
    action: text('action').notNull(),
    /** The ids and names in the path; empty when there are none. */
    target: text('target').notNull(),
    /** Where the request came from. */
    address: text('address').notNull(),
    askedAt: timestamp('asked_at', { withTimezone: true, mode: 'date' }).notNull(),
    /** HTTP status of the answer; null when the process ended before it. */
    outcome: smallint('outcome'),
  },
  (entry) => [index('audit_log_by_tenant').on(entry.tenant, entry.id), index('audit_log_by_time').on(entry.askedAt)],
)
