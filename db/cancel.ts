import type { Sql } from './connect.ts'
import { endings } from './endings.ts'
import type { JobStatus } from './statuses.ts'

/**
 * Cancels a live job: at once when it is not running; a running one is asked, and its worker aborts it.
 *
 * @returns the job's status after the call and whether the call changed anything; undefined when the tenant has no such job.
 */
export async function cancelJob(
  sql: Sql,
  tenant: string,
  id: string,
): Promise<{ status: JobStatus; changed: boolean } | undefined> {
  const [changed] = await sql<{ status: JobStatus }[]>`
    with mine as materialized (
      select id from jobs where id = ${id} and tenant = ${tenant} and finished_at is null for update
    ), changed as (
      update jobs j set
        status = case when j.status = 'running' then 'running' else 'cancelled' end,
        finished_at = case when j.status = 'running' then null else clock_timestamp() end,
        ticketed_at = null, due_at = null,
        cancel_requested_at = coalesce(j.cancel_requested_at, clock_timestamp())
      from mine where j.id = mine.id and j.finished_at is null
      returning j.id, j.tenant, j.queue, j.status, j.finished_at, j.internal
    ), ${endings(sql)}
    select status from changed`
  if (changed) return { status: changed.status, changed: true }
  // The statement above may have waited for one that ended the job, and would still show it as it was before.
  const [ended] = await sql<{ status: JobStatus }[]>`select status from jobs where id = ${id} and tenant = ${tenant}`
  return ended && { status: ended.status, changed: false }
}
