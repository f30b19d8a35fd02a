import { index, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * What was answered to the first request with a key. The rest of that answer follows from the request,
 * which `request_hash` proves to be the same. No foreign key: it outlives its job.
 */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    tenant: text('tenant').notNull(),
    key: text('key').notNull(),
    requestHash: text('request_hash').notNull(),
    jobId: uuid('job_id').notNull(),
    status: text('status').notNull(),
    runAt: timestamp('run_at', { withTimezone: true, mode: 'date' }),
    createdAt: timestamp('created_at', { withTimezone: true, mode: 'date' }).notNull(),
  },
  (row) => [primaryKey({ columns: [row.tenant, row.key] }), index('idempotency_keys_age').on(row.createdAt)],
)
