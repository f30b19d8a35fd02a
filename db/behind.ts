import { plainArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { circuitIsOpen } from './endpoint-health.ts'
import { endpointColumns, type EndpointRow } from './endpoints.ts'
import type { JobStatus } from './statuses.ts'

/** An endpoint that has something before it in the stream, and may be sent it. */
export interface EndpointBehind extends EndpointRow {
  readonly head: number
  /** Jobs that all processes which make deliveries may run at once in an ordinary queue; 0 when there are none. */
  readonly concurrency: number
  /** Time since its replay last got on, in milliseconds; 0 without a replay, negative where the clock was set back. */
  readonly sinceReplayMs: number
}

/**
 * Finds the endpoints that are enabled and not at the head of the stream, or replay, and whose circuit is not open.
 *
 * @param queue of the jobs that deliver.
 */
export async function findEndpointsBehind(sql: Sql, queue: string): Promise<EndpointBehind[]> {
  return sql<EndpointBehind[]>`
    select ${endpointColumns(sql)}, stream.head::float8,
      case when replay_cursor is null then 0 else extract(epoch from statement_timestamp() - replayed_at) * 1000 end::float8 as since_replay_ms,
      (select coalesce(sum(concurrency), 0) from workers where queues::jsonb ? ${queue})::int as concurrency
    from endpoints e, stream
    where disabled_at is null and not ${circuitIsOpen(sql)}
      and (cursor < stream.head or replay_cursor is not null)
    order by id`
}

/** @returns those of the jobs that have not ended: queued, running, or waiting for another attempt (`retrying`). */
export async function findUnended(sql: Sql, jobIds: readonly string[]): Promise<Map<string, JobStatus>> {
  const rows = await sql<{ id: string; status: JobStatus }[]>`
    select id, status from jobs where id = any(${plainArray(jobIds)}::text::uuid[]) and finished_at is null`
  return new Map(rows.map(({ id, status }) => [id, status]))
}

/** Looks among the newest deliveries of an endpoint for those in flight: for whoever has not made them. @param newest how many are looked at. */
export async function recallInFlight(sql: Sql, endpointId: string, newest: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select j.id from (
      select job_id from deliveries where endpoint_id = ${endpointId} order by job_id desc limit ${newest}) as d
    cross join lateral (select id, status from jobs where id = d.job_id limit 1) as j
    where j.status in ('queued', 'running')`
  return rows.map(({ id }) => id)
}
