import type { Sql } from './connect.ts'
import { rfc3339 } from './telling.ts'
import { endpointColumns, type DisabledReason, type EndpointRow } from './endpoints.ts'

/** Failures in a row that open the circuit of an endpoint. */
export const failuresToOpen = 5
/** How long the circuit is open after so many, in milliseconds; doubles with each failed probe up to the longest. */
const firstOpenMs = 10_000
const longestOpenMs = 600_000
/** How long a probe may take before another delivery may be one, in milliseconds: above the time of a request. */
const probeMs = 20_000
/** Time of failures only after which an endpoint is disabled, in milliseconds. */
const disableAfterMs = 5 * 86_400_000
/** Failures without which it is not: a clock that jumps, or few events, must not do it. */
const failuresToDisable = 20
/** Above what any receiver may ask for, in milliseconds. A circuit that is to be open for longer tells of a clock that was set back. */
const openAtMostMs = 25 * 3_600_000

/** An endpoint as somebody who delivers sees it. */
export interface DeliveryEndpoint extends EndpointRow {
  /** How long its circuit stays open, in milliseconds; not above 0 when it is closed, or waits for a probe. */
  readonly openForMs: number
}

/** Whether the circuit of an endpoint of the table `e` is open. */
export function circuitIsOpen(sql: Sql) {
  return sql`coalesce(e.open_until > statement_timestamp() and e.open_until <= statement_timestamp() + ${milliseconds(sql, openAtMostMs)}, false)`
}

/** @returns the endpoint with how long its circuit is open, by the clock of Postgres; undefined when it is gone. */
export async function readForDelivery(sql: Sql, id: string): Promise<DeliveryEndpoint | undefined> {
  const [row] = await sql<DeliveryEndpoint[]>`
    select ${endpointColumns(sql)}, (case when ${circuitIsOpen(sql)} then extract(epoch from open_until - statement_timestamp()) * 1000 else 0 end)::float8 as open_for_ms
    from endpoints e where id = ${id}`
  return row
}

/** Closes the circuit. One that has not failed so often waits for no probe, but because its receiver asked for a pause: it gets it. */
export async function noteSuccess(sql: Sql, id: string): Promise<void> {
  await sql`
    update endpoints set failures = 0, failing_since = null, open_until = case when failures < ${failuresToOpen}::int then open_until end
    where id = ${id} and failures > 0`
}

/** An attempt that failed. */
export interface Failure {
  /** Which was tried: one that the endpoint does not have any more counts for nothing. */
  readonly url: string
  /** Whether it was the one that tried an open circuit. */
  readonly probe: boolean
  /** Time for which the receiver wants to be left alone, in milliseconds; 0 if it did not say. */
  readonly pauseMs: number
}

/**
 * Counts a failed attempt: opens the circuit after {@link failuresToOpen} in a row, and disables the endpoint, with an event, when all
 * have failed for five days. Those that were under way when the circuit opened do not count.
 *
 * @param eventId of the event, if there is to be one.
 * @returns whether this disabled it.
 */
export async function noteFailure(
  sql: Sql,
  id: string,
  { url, probe, pauseMs }: Failure,
  eventId: string,
): Promise<boolean> {
  const counted = sql`e.failures + case when ${probe}::boolean or not ${circuitIsOpen(sql)} then 1 else 0 end`
  const long = sql`(e.failing_since < statement_timestamp() - ${milliseconds(sql, disableAfterMs)} and ${counted} >= ${failuresToDisable}::int)`
  const [row] = await sql`
    with changed as (
      update endpoints e set failures = ${counted},
        failing_since = coalesce(e.failing_since, statement_timestamp()),
        open_until = greatest(case when ${circuitIsOpen(sql)} then e.open_until end, ${pauseMs > 0 ? sql`statement_timestamp() + ${milliseconds(sql, pauseMs)}` : sql`null`},
          case when ${counted} >= ${failuresToOpen}::int then statement_timestamp() + ${milliseconds(sql, firstOpenMs)}
            * least(2 ^ least(${counted} - ${failuresToOpen}::int, 16), ${longestOpenMs / firstOpenMs}::float8) end),
        disabled_at = case when ${long} then statement_timestamp() end,
        disabled_reason = case when ${long} then 'failing' end
      where e.id = ${id} and e.url = ${url} and e.disabled_at is null
      returning e.id, e.tenant, e.url, e.disabled_reason, e.disabled_at, e.failing_since
    ), ${disabledEvent(sql, eventId)}
    select 1 from changed where disabled_at is not null`
  return row !== undefined
}

/** Disables an endpoint that does not want anything any more at this URL, with an event. @returns whether this disabled it. */
export async function disableGone(
  sql: Sql,
  { id, url }: Pick<EndpointRow, 'id' | 'url'>,
  eventId: string,
): Promise<boolean> {
  const reason: DisabledReason = 'gone'
  const [row] = await sql`
    with changed as (
      update endpoints set disabled_at = statement_timestamp(), disabled_reason = ${reason}
      where id = ${id} and url = ${url} and disabled_at is null
      returning id, tenant, url, disabled_reason, disabled_at, failing_since
    ), ${disabledEvent(sql, eventId)}
    select 1 from changed`
  return row !== undefined
}

/** Asks whether one may try an endpoint whose circuit was open: one at a time may. */
export async function takeProbe(sql: Sql, id: string): Promise<boolean> {
  const rows = await sql`
    update endpoints e set open_until = statement_timestamp() + ${milliseconds(sql, probeMs)}
    where id = ${id} and failures >= ${failuresToOpen}::int and not ${circuitIsOpen(sql)} returning 1`
  return rows.length > 0
}

function disabledEvent(sql: Sql, eventId: string) {
  return sql`event as (
      insert into outbox (id, tenant, type, occurred_at, data, sequence)
      select ${eventId}::uuid, tenant, 'endpoint.disabled', statement_timestamp(),
        json_strip_nulls(json_build_object('id', id, 'url', url, 'reason', disabled_reason, 'failingSince', ${rfc3339(sql, sql`failing_since`)})), 1
      from changed where disabled_at is not null
    )`
}

function milliseconds(sql: Sql, ms: number) {
  return sql`${ms}::float8 * interval '1 millisecond'`
}
