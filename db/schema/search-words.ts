import { pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'

/**
 * What a job is found by, newest first: each tag, each field of its metadata, and that it failed or was cancelled. Only jobs that
 * have such words pay for them, and no index of `jobs` does.
 */
export const searchWords = pgTable(
  'search_words',
  {
    tenant: text('tenant').notNull(),
    word: text('word').notNull(),
    jobId: uuid('job_id').notNull(),
  },
  (row) => [primaryKey({ columns: [row.tenant, row.word, row.jobId] })],
)
