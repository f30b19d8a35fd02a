import { plainArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { circuitIsOpen } from './endpoint-health.ts'
import type { EndpointRow } from './endpoints.ts'

/** An endpoint that has something before it in the stream, and may be sent it. */
export interface EndpointBehind extends Pick<
  EndpointRow,
  | 'id'
  | 'tenant'
  | 'events'
  | 'jobTypes'
  | 'tags'
  | 'includeOutput'
  | 'maxInFlight'
  | 'failures'
  | 'cursor'
  | 'replayCursor'
  | 'replayUntil'
  | 'replayPerSecond'
> {
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
    select id, tenant, events, job_types, tags, include_output, max_in_flight, failures, cursor::float8, replay_cursor::float8,
      replay_until::float8, replay_per_second, stream.head::float8,
      case when replay_cursor is null then 0 else extract(epoch from statement_timestamp() - replayed_at) * 1000 end::float8 as since_replay_ms,
      (select coalesce(sum(concurrency), 0) from workers where queues::jsonb ? ${queue})::int as concurrency
    from endpoints e, stream
    where disabled_at is null and not ${circuitIsOpen(sql)}
      and (cursor < stream.head or replay_cursor is not null)
    order by id`
}

/** Reason of the snooze of a delivery that waits for trouble on the platform's side to end: it is still in flight. */
export const heldUp = 'held_up'

/** @returns those of the deliveries that have not ended, each with whether it is in flight; if not, it waits for another attempt. */
export async function findUnended(sql: Sql, jobIds: readonly string[]): Promise<Map<string, boolean>> {
  const rows = await sql<{ id: string; inFlight: boolean }[]>`
    select j.id, ${isInFlight(sql)} as in_flight from jobs j where j.id = any(${plainArray(jobIds)}::text::uuid[]) and j.finished_at is null`
  return new Map(rows.map(({ id, inFlight }) => [id, inFlight]))
}

/** Looks among the newest deliveries of an endpoint for those in flight: for whoever has not made them. @param newest how many are looked at. */
export async function recallInFlight(sql: Sql, endpointId: string, newest: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select j.id from (
      select job_id from deliveries where endpoint_id = ${endpointId} order by job_id desc limit ${newest}) as d
    cross join lateral (select id, status, error from jobs where id = d.job_id limit 1) as j
    where ${isInFlight(sql)}`
  return rows.map(({ id }) => id)
}

function isInFlight(sql: Sql) {
  return sql`(j.status in ('queued', 'running') or j.status = 'retrying' and coalesce(j.error->>'reason' = ${heldUp}, false))`
}
