import { index, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'

/** The job that holds a deduplication key, or held it last: the key is free again once that job has ended. */
export const deduplications = pgTable(
  'deduplications',
  {
    tenant: text('tenant').notNull(),
    type: text('type').notNull(),
    key: text('key').notNull(),
    jobId: uuid('job_id').notNull(),
  },
  (row) => [primaryKey({ columns: [row.tenant, row.type, row.key] }), index('deduplications_by_job').on(row.jobId)],
)
