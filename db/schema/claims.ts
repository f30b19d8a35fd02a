import { index, pgTable, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * The jobs that one worker process took together: what stands in for an index of the running rows of `jobs`
 * (docs/decisions/0009-live-jobs.md). A job is still running under this claim if it is running for this worker since this
 * moment; a claim without such a job is spent, and its worker deletes it with the next heartbeat.
 */
export const claims = pgTable(
  'claims',
  {
    workerId: uuid('worker_id').notNull(),
    claimedAt: timestamp('claimed_at', { withTimezone: true, mode: 'date' }).notNull(),
    jobIds: uuid('job_ids').array().notNull(),
  },
  (claim) => [index('claims_worker').on(claim.workerId)],
)
