import type { Sql } from './connect.ts'
import { wordsOfEnd } from './search-words.ts'

/**
 * Part of every statement that can end a job: records the one event of each row of the CTE `changed` that it ended, and lists
 * those rows in `endings`, internal ones apart, since they have no events. `changed` must have id, tenant, queue, status, finished_at
 * and internal. The event's id is the job's, so that a second end would violate the primary key. Those that did not complete are
 * found by their status from then on.
 *
 * @param options `onlyCompletions`: the statement ends jobs in no other way.
 */
export function endings(sql: Sql, { onlyCompletions = false } = {}) {
  return sql`event as (
      insert into outbox (id, tenant, job_id, type, occurred_at)
      select id, tenant, id, 'job.' || status, finished_at from changed where finished_at is not null and not internal
    ), ending as (
      insert into endings (queue, tenant, status, ended_at, job_ids, jobs, events)
      select queue, tenant, status, statement_timestamp(), array_agg(id), count(*), case when internal then 0 else count(*) end
      from changed where finished_at is not null group by queue, tenant, status, internal
    )${onlyCompletions ? sql`` : sql`, ${wordsOfEnd(sql)}`}`
}

/** Source of rows: every ended job, once, with its ending `e`; narrow it by the columns of `e`. */
export function endedJobs(sql: Sql) {
  return sql`endings e cross join lateral unnest(e.job_ids) as member (id)`
}
