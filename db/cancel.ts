import type { Sql } from './connect.ts'
import { endings } from './endings.ts'
import { isTerminal, type JobStatus } from './statuses.ts'

/** How a job stands after it was asked to be cancelled. */
export interface Cancellation {
  readonly status: JobStatus
  /** Whether this call changed anything. */
  readonly changed: boolean
}

/**
 * Cancels a live job: at once when it is not running; a running one is asked, and its worker aborts it.
 *
 * @returns undefined when the tenant has no such job.
 */
export async function cancelJob(sql: Sql, tenant: string, id: string): Promise<Cancellation | undefined> {
  for (;;) {
    const cancelled = await cancelLive(sql, tenant, id)
    if (cancelled) return { status: cancelled, changed: true }
    const status = await readStatus(sql, tenant, id)
    if (!status) return undefined
    if (isTerminal(status)) return { status, changed: false }
  }
}

async function cancelLive(sql: Sql, tenant: string, id: string): Promise<JobStatus | undefined> {
  const [row] = await sql<{ status: JobStatus }[]>`
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
  return row?.status
}

/** In a statement of its own: the one before does not see what has ended the job while it waited for the row. */
async function readStatus(sql: Sql, tenant: string, id: string): Promise<JobStatus | undefined> {
  const [row] = await sql<{ status: JobStatus }[]>`select status from jobs where id = ${id} and tenant = ${tenant}`
  return row?.status
}
