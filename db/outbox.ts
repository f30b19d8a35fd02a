import type { Sql } from './connect.ts'

/**
 * Fragment of every statement that can end a job: one event per row of the CTE `changed` that it ended.
 * `changed` must have id, tenant, status, finished_at and internal. The event's id is the job's, so a second end would violate the primary key.
 */
export function terminalEvents(sql: Sql) {
  return sql`
    insert into outbox (id, tenant, job_id, type, occurred_at)
    select id, tenant, id, 'job.' || status, finished_at from changed where finished_at is not null and not internal`
}
