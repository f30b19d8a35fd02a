import { textArray } from './arrays.ts'
import type { Sql } from './connect.ts'

/** Why an endpoint gets nothing: somebody asked for it, the receiver said so, or it has failed for too long. */
export type DisabledReason = 'asked' | 'gone' | 'failing'

/** An endpoint as it stands in the record. `headers`, `secret` and `previousSecret` are sealed. */
export interface EndpointRow {
  readonly id: string
  readonly tenant: string
  readonly url: string
  readonly description: string
  readonly events: readonly string[]
  readonly jobTypes: readonly string[]
  readonly tags: readonly string[]
  readonly includeOutput: boolean
  readonly headers: string | null
  readonly secret: string
  readonly previousSecret: string | null
  readonly previousSecretUntil: Date | null
  readonly maxInFlight: number
  /** Position up to which deliveries are made. */
  readonly cursor: number
  readonly replayCursor: number | null
  readonly replayUntil: number | null
  readonly replayPerSecond: number | null
  readonly failingSince: Date | null
  readonly failures: number
  readonly openUntil: Date | null
  readonly disabledReason: DisabledReason | null
  readonly disabledAt: Date | null
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** What somebody who makes an endpoint decides. */
export interface NewEndpoint extends Pick<
  EndpointRow,
  | 'id'
  | 'tenant'
  | 'url'
  | 'description'
  | 'events'
  | 'jobTypes'
  | 'tags'
  | 'includeOutput'
  | 'headers'
  | 'secret'
  | 'maxInFlight'
> {}

/** What can be changed about it later; what is absent stays. */
export type EndpointChanges = Partial<Omit<NewEndpoint, 'id' | 'tenant' | 'secret'>>

/** Stores an endpoint that gets what has no place in the stream yet, and everything after. */
export async function insertEndpoint(sql: Sql, endpoint: NewEndpoint): Promise<EndpointRow> {
  const { id, tenant, url, description, events, jobTypes, tags, includeOutput, headers, secret, maxInFlight } = endpoint
  const [row] = await sql<EndpointRow[]>`
    insert into endpoints (id, tenant, url, description, events, job_types, tags, include_output, headers, secret, max_in_flight, cursor,
      created_at, updated_at)
    select ${id}::uuid, ${tenant}, ${url}, ${description}, ${textArray(events)}::text::text[], ${textArray(jobTypes)}::text::text[],
      ${textArray(tags)}::text::text[], ${includeOutput}::boolean, ${headers}::text, ${secret}, ${maxInFlight}::int, head,
      statement_timestamp(), statement_timestamp()
    from stream returning ${endpointColumns(sql)}`
  return row as EndpointRow
}

/** @returns the tenant's endpoint, or undefined. */
export async function readEndpoint(sql: Sql, tenant: string, id: string): Promise<EndpointRow | undefined> {
  const [row] = await sql<EndpointRow[]>`
    select ${endpointColumns(sql)} from endpoints where id = ${id} and tenant = ${tenant}`
  return row
}

/** @returns the sealed secret of the newest endpoint of all tenants; undefined when there is none. */
export async function readNewestSecret(sql: Sql): Promise<Pick<EndpointRow, 'id' | 'secret'> | undefined> {
  const [row] = await sql<
    Pick<EndpointRow, 'id' | 'secret'>[]
  >`select id, secret from endpoints order by id desc limit 1`
  return row
}

/**
 * Lists a tenant's endpoints, newest first.
 *
 * @param before only those older than this one: where the page before ended.
 */
export async function listEndpoints(
  sql: Sql,
  tenant: string,
  { limit, before }: { readonly limit: number; readonly before?: string | undefined },
): Promise<EndpointRow[]> {
  return sql<EndpointRow[]>`
    select ${endpointColumns(sql)} from endpoints
    where tenant = ${tenant} and ${before === undefined ? sql`true` : sql`id < ${before}`}
    order by id desc limit ${limit}`
}

/** Changes an endpoint. At a new URL it begins without failures. @returns it as it is now, or undefined when the tenant has no such. */
export async function updateEndpoint(
  sql: Sql,
  tenant: string,
  id: string,
  changes: EndpointChanges,
): Promise<EndpointRow | undefined> {
  const list = (values: readonly string[] | undefined) => (values ? textArray(values) : null)
  const moves = sql`url <> ${changes.url ?? null}::text`
  const [row] = await sql<EndpointRow[]>`
    update endpoints set
      url = coalesce(${changes.url ?? null}::text, url),
      failures = case when ${moves} then 0 else failures end,
      failing_since = case when ${moves} then null else failing_since end,
      open_until = case when ${moves} then null else open_until end,
      description = coalesce(${changes.description ?? null}::text, description),
      events = coalesce(${list(changes.events)}::text::text[], events),
      job_types = coalesce(${list(changes.jobTypes)}::text::text[], job_types),
      tags = coalesce(${list(changes.tags)}::text::text[], tags),
      include_output = coalesce(${changes.includeOutput ?? null}::boolean, include_output),
      headers = case when ${changes.headers === undefined}::boolean then headers else ${changes.headers ?? null}::text end,
      max_in_flight = coalesce(${changes.maxInFlight ?? null}::int, max_in_flight),
      updated_at = statement_timestamp()
    where id = ${id} and tenant = ${tenant}
    returning ${endpointColumns(sql)}`
  return row
}

/** Deletes an endpoint; deliveries to it that are under way fail. @returns false when the tenant has no such. */
export async function deleteEndpoint(sql: Sql, tenant: string, id: string): Promise<boolean> {
  const rows = await sql`delete from endpoints where id = ${id} and tenant = ${tenant} returning id`
  return rows.length > 0
}

/**
 * Gives an endpoint a new secret, beside which the old one signs for a while.
 *
 * @param secret sealed.
 * @param bothForMs how long the old one is still valid, in milliseconds.
 * @returns the endpoint as it is now, or undefined when the tenant has no such.
 */
export async function rotateSecret(
  sql: Sql,
  tenant: string,
  id: string,
  { secret, bothForMs }: { readonly secret: string; readonly bothForMs: number },
): Promise<EndpointRow | undefined> {
  const [row] = await sql<EndpointRow[]>`
    update endpoints set previous_secret = secret, secret = ${secret},
      previous_secret_until = statement_timestamp() + ${bothForMs}::float8 * interval '1 millisecond', updated_at = statement_timestamp()
    where id = ${id} and tenant = ${tenant}
    returning ${endpointColumns(sql)}`
  return row
}

/** Stops deliveries to an endpoint because somebody asked for it. @returns it as it is now; one that is disabled keeps its reason. */
export async function disableEndpoint(sql: Sql, tenant: string, id: string): Promise<EndpointRow | undefined> {
  const [row] = await sql<EndpointRow[]>`
    update endpoints set disabled_reason = coalesce(disabled_reason, 'asked'),
      disabled_at = coalesce(disabled_at, statement_timestamp()), updated_at = statement_timestamp()
    where id = ${id} and tenant = ${tenant}
    returning ${endpointColumns(sql)}`
  return row
}

/**
 * Lets deliveries to an endpoint go on from now; what it has missed is for {@link startReplay}. An endpoint that is enabled stays as
 * it is, but its circuit is closed.
 *
 * @returns it as it is now, or undefined when the tenant has no such.
 */
export async function enableEndpoint(sql: Sql, tenant: string, id: string): Promise<EndpointRow | undefined> {
  const [row] = await sql<EndpointRow[]>`
    update endpoints set cursor = case when disabled_at is null then cursor else (select head from stream) end,
      disabled_reason = null, disabled_at = null, failing_since = null, failures = 0, open_until = null, updated_at = statement_timestamp()
    where id = ${id} and tenant = ${tenant}
    returning ${endpointColumns(sql)}`
  return row
}

/**
 * Makes the deliveries of an endpoint from a position up to its cursor again, at a rate. A replay under way is replaced.
 *
 * @param after position after which to begin (`positionAt` of db/stream.ts).
 * @param upTo position at which to end, where that is before the cursor.
 * @returns it as it is now, or undefined when the tenant has no such.
 */
export async function startReplay(
  sql: Sql,
  tenant: string,
  id: string,
  { after, upTo, perSecond }: { readonly after: number; readonly upTo?: number; readonly perSecond: number },
): Promise<EndpointRow | undefined> {
  const end = sql`least(cursor, ${upTo ?? null}::float8::bigint)`
  const [row] = await sql<EndpointRow[]>`
    update endpoints set replay_cursor = case when ${end} > ${after}::float8::bigint then ${after}::float8::bigint end,
      replay_until = case when ${end} > ${after}::float8::bigint then ${end} end,
      replay_per_second = case when ${end} > ${after}::float8::bigint then ${perSecond}::int end,
      replayed_at = statement_timestamp(), updated_at = statement_timestamp()
    where id = ${id} and tenant = ${tenant}
    returning ${endpointColumns(sql)}`
  return row
}

/** Columns of an {@link EndpointRow}. */
export function endpointColumns(sql: Sql) {
  return sql`id, tenant, url, description, events, job_types, tags, include_output, headers, secret, previous_secret, previous_secret_until,
    max_in_flight, cursor::float8, replay_cursor::float8, replay_until::float8, replay_per_second, failing_since, failures, open_until,
    disabled_reason, disabled_at, created_at, updated_at`
}
