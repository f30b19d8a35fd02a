import { plainArray, textArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { endings } from './endings.ts'
import { firstIdAt } from './ids.ts'
import { newArrivals } from './live.ts'
import { ticketable, type Ticketable } from './requeue.ts'
import type { JobError } from './settle.ts'
import type { JobStatus } from './statuses.ts'

/** One event on its way to one endpoint, as the job that brings it there stands. */
export interface DeliveryRow {
  /** Of the delivery and of its job. */
  readonly id: string
  readonly endpointId: string
  readonly eventId: string
  readonly eventType: string
  /** Position of the event in the stream; null for tests. */
  readonly position: number | null
  readonly status: JobStatus
  readonly attemptsMade: number
  readonly maxAttempts: number
  /** When the next attempt is due, while it waits for it. */
  readonly dueAt: Date | null
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  /** Of the last attempt, if it failed; `detail` tells the receiver's answer. */
  readonly error: JobError | null
  /** The receiver's answer, if it took the event. */
  readonly output: unknown
  /** The delivery that this one repeats. */
  readonly redriveOf: string | null
}

/** What a listing may be narrowed to. */
export interface DeliveryFilter {
  readonly endpoint?: string | undefined
  /** Id of an event. */
  readonly event?: string | undefined
  readonly eventType?: string | undefined
  readonly status?: JobStatus | undefined
  /** Only deliveries made before this one: where the page before ended. */
  readonly before?: string | undefined
  /** Only this one and those made after it. */
  readonly from?: string | undefined
  /** Only deliveries that may be made again: nobody did so since, and their endpoint is enabled. */
  readonly repeatable?: boolean
  /** Only deliveries made from then on. */
  readonly since?: Date | undefined
}

/** Time by which the clock that an id was made by may differ from that of Postgres, in milliseconds. */
const idSkewMs = 60_000

/** Deliveries that a page looks at: where few of them fit, it ends before it is full. */
const lookAt = 10_000

/** A part of a listing. */
export interface DeliveryPage {
  readonly deliveries: DeliveryRow[]
  /** What the next page is `before`; undefined at the end. */
  readonly next?: string | undefined
}

/**
 * Reads a page of a tenant's deliveries, newest first, in bounded time: one on which few or none fit may have others after it.
 *
 * @param look deliveries that are looked at, at most.
 */
export async function readDeliveryPage(
  sql: Sql,
  tenant: string,
  filter: DeliveryFilter,
  limit: number,
  look = lookAt,
): Promise<DeliveryPage> {
  const from = await lastLookedAt(sql, tenant, filter, look)
  const rows = await listDeliveries(sql, tenant, { ...filter, from }, limit + 1)
  const deliveries = rows.slice(0, limit)
  return { deliveries, next: rows.length > limit ? deliveries.at(-1)?.id : from }
}

/** @returns the last of so many deliveries, whether they fit or not; undefined when there are fewer, or all fit. */
async function lastLookedAt(sql: Sql, tenant: string, filter: DeliveryFilter, look: number) {
  if (filter.status === undefined && filter.eventType === undefined && !filter.repeatable) return undefined
  const [last] = await sql<{ id: string }[]>`
    select d.job_id as id from deliveries d where ${ofRange(sql, tenant, filter)} order by d.job_id desc offset ${look - 1} limit 1`
  return last?.id
}

/** Lists a tenant's deliveries, newest first. */
export async function listDeliveries(
  sql: Sql,
  tenant: string,
  filter: DeliveryFilter,
  limit: number,
): Promise<DeliveryRow[]> {
  const { eventType, status, repeatable = false } = filter
  return sql<DeliveryRow[]>`
    select ${deliveryColumns(sql)} from deliveries d cross join lateral (select * from jobs where id = d.job_id limit 1) as j
    where ${ofRange(sql, tenant, filter)}
      and ${eventType === undefined ? sql`true` : sql`d.event_type = ${eventType}`}
      and ${status === undefined ? sql`true` : sql`j.status = ${status}`}
      and ${repeatable ? sql`${isLatest(sql)} and ${isWanted(sql)}` : sql`true`}
    order by d.job_id desc limit ${limit}`
}

/** Conditions on deliveries `d` that an index answers. */
function ofRange(sql: Sql, tenant: string, { endpoint, event, before, from, since }: DeliveryFilter) {
  return sql`d.tenant = ${tenant}
      and ${endpoint === undefined ? sql`true` : sql`d.endpoint_id = ${endpoint}`}
      and ${event === undefined ? sql`true` : sql`d.event_id = ${event}`}
      and ${before === undefined ? sql`true` : sql`d.job_id < ${before}`}
      and ${from === undefined ? sql`true` : sql`d.job_id >= ${from}`}
      and ${since === undefined ? sql`true` : sql`d.job_id >= ${firstIdAt(since.getTime() - idSkewMs)} and d.created_at >= ${since}`}`
}

/** Whether nobody had the delivery `d` made again, and no younger one brings its event to its endpoint. */
function isLatest(sql: Sql) {
  return sql`d.redelivered_at is null and not exists (select from deliveries younger
        where younger.event_id = d.event_id and younger.endpoint_id = d.endpoint_id and younger.job_id > d.job_id)`
}

/** Whether the endpoint of the delivery `d` takes deliveries. */
function isWanted(sql: Sql) {
  return sql`exists (select from endpoints e where e.id = d.endpoint_id and e.disabled_at is null)`
}

/** @returns the tenant's delivery, or undefined. Its attempts are its job's (`getAttempts` of db/jobs.ts). */
export async function readDelivery(sql: Sql, tenant: string, id: string): Promise<DeliveryRow | undefined> {
  const [row] = await sql<DeliveryRow[]>`
    select ${deliveryColumns(sql)} from deliveries d join jobs j on j.id = d.job_id
    where d.job_id = ${id} and d.tenant = ${tenant}`
  return row
}

function deliveryColumns(sql: Sql) {
  return sql`d.job_id as id, d.endpoint_id, d.event_id, d.event_type, d.position::float8, d.created_at, j.status, j.attempts_made,
    j.max_attempts, j.due_at, j.started_at, j.finished_at, j.error, j.output, j.redrive_of`
}

/** How jobs that deliver are run: from their contract. */
export interface DeliveryTerms {
  readonly type: string
  readonly queue: string
  readonly maxAttempts: number
  readonly timeoutMs: number
}

/** A delivery that is to be made. */
export interface NewDelivery {
  /** Of the delivery and of its job. */
  readonly id: string
  readonly eventId: string
  readonly eventType: string
  /** Null for tests. */
  readonly position: number | null
  /** JSON text of the job's input. */
  readonly input: string
  /** Set where the delivery cannot be made: its job has failed from the start, and can be redelivered. */
  readonly error?: JobError | undefined
}

/** The way of an endpoint through the stream: the ordinary one, or that of a replay. */
export type Course = 'cursor' | 'replay'

/** A step of an endpoint through the stream, and the deliveries that it makes on it. */
export interface Step {
  readonly endpointId: string
  /** Where the endpoint is expected to be, and where it will be. */
  readonly from: number
  readonly to: number
  readonly deliveries: readonly NewDelivery[]
}

/**
 * Makes deliveries and moves the cursors of their endpoints, in one statement: exactly one delivery for each event and course, whoever
 * else does so. A step is not taken where the endpoint is not where it was expected, or is disabled.
 *
 * @returns the jobs that now want a ticket.
 * @throws the driver's error; nothing was stored then, unless the connection broke, which leaves that unknown.
 */
export async function takeSteps(
  sql: Sql,
  course: Course,
  steps: readonly Step[],
  terms: DeliveryTerms,
): Promise<Ticketable[]> {
  const items = steps.flatMap(({ endpointId, deliveries }) => deliveries.map((each) => ({ ...each, endpointId })))
  const at = course === 'cursor' ? sql`e.cursor` : sql`e.replay_cursor`
  return sql<Ticketable[]>`
    with step as materialized (
      select * from unnest(${plainArray(steps.map(({ endpointId }) => endpointId))}::text::uuid[],
        ${plainArray(steps.map(({ from }) => from))}::text::bigint[], ${plainArray(steps.map(({ to }) => to))}::text::bigint[],
        ${plainArray(steps.map(({ deliveries }) => deliveries.length))}::text::int[]
      ) as step (endpoint_id, origin, destination, deliveries)
    ), mine as materialized (
      select e.id, e.tenant, step.destination, step.deliveries from endpoints e join step on e.id = step.endpoint_id and ${at} = step.origin
      where e.disabled_at is null order by e.id for update of e
    ), moved as (
      update endpoints e set ${course === 'cursor' ? cursorMoves(sql) : replayMoves(sql)} from mine where e.id = mine.id
    ), item as materialized (
      select i.*, mine.tenant from (${itemRows(sql, items)}) as i join mine on mine.id = i.endpoint_id
    ), ${makeDeliveries(sql, terms)}
    select ${ticketable(sql)} from changed j where j.status = 'queued'`
}

function cursorMoves(sql: Sql) {
  return sql`cursor = mine.destination`
}

/** Each delivery uses up its time at the rate of the replay, of which no more than the last second counts. */
function replayMoves(sql: Sql) {
  return sql`replay_cursor = case when mine.destination < e.replay_until then mine.destination end,
    replay_until = case when mine.destination < e.replay_until then e.replay_until end,
    replay_per_second = case when mine.destination < e.replay_until then e.replay_per_second end,
    replayed_at = least(statement_timestamp(), greatest(e.replayed_at, statement_timestamp() - interval '1 second')
      + mine.deliveries::float8 / e.replay_per_second * interval '1 second')`
}

/** Makes a delivery besides the stream, to try an endpoint. @returns the job that now wants a ticket. */
export async function insertDelivery(
  sql: Sql,
  { tenant, endpointId }: { readonly tenant: string; readonly endpointId: string },
  delivery: NewDelivery,
  terms: DeliveryTerms,
): Promise<Ticketable[]> {
  return sql<Ticketable[]>`
    with item as materialized (
      select i.*, ${tenant}::text as tenant from (${itemRows(sql, [{ ...delivery, endpointId }])}) as i
    ), ${makeDeliveries(sql, terms)}
    select ${ticketable(sql)} from changed j where j.status = 'queued'`
}

/** Age up to which tests are counted, in milliseconds: an attempt is over by then. */
const testsWithinMs = 60_000

/** @returns how many tests of an endpoint are queued or running, of the last minute. */
export async function countTests(sql: Sql, endpointId: string, eventType: string): Promise<number> {
  const [row] = await sql<{ tests: number }[]>`
    select count(*)::int as tests from deliveries d
    cross join lateral (select status from jobs where id = d.job_id limit 1) as j
    where d.endpoint_id = ${endpointId} and d.job_id >= ${firstIdAt(Date.now() - testsWithinMs - idSkewMs)}
      and d.event_type = ${eventType} and d.created_at > statement_timestamp() - ${testsWithinMs}::float8 * interval '1 millisecond'
      and j.status in ('queued', 'running')`
  return row?.tests ?? 0
}

function itemRows(sql: Sql, items: readonly (NewDelivery & { readonly endpointId: string })[]) {
  const plain = (pick: (item: (typeof items)[number]) => string | number | null) => plainArray(items.map(pick))
  const text = (pick: (item: (typeof items)[number]) => string | null) => textArray(items.map(pick))
  return sql`
    select * from unnest(${plain(({ id }) => id)}::text::uuid[], ${plain(({ endpointId }) => endpointId)}::text::uuid[],
      ${plain(({ eventId }) => eventId)}::text::uuid[], ${plain(({ eventType }) => eventType)}::text::text[],
      ${plain(({ position }) => position)}::text::bigint[], ${text(({ input }) => input)}::text::json[],
      ${text(({ error }) => (error ? JSON.stringify(error) : null))}::text::json[]
    ) as item (id, endpoint_id, event_id, event_type, position, input, error)`
}

/** Stores the jobs and the deliveries of the CTE `item`, as `changed`. */
function makeDeliveries(sql: Sql, { type, queue, maxAttempts, timeoutMs }: DeliveryTerms) {
  return sql`changed as (
      insert into jobs (id, tenant, type, queue, status, priority, input, error, metadata, tags, internal, max_attempts, timeout_ms,
        ticketed_at, created_at, finished_at)
      select id, tenant, ${type}, ${queue}, case when error is null then 'queued' else 'failed' end, 0, input, error, '{}', '{}', true,
        ${maxAttempts}::int, ${timeoutMs}::int, case when error is null then statement_timestamp() end, statement_timestamp(),
        case when error is not null then statement_timestamp() end
      from item
      returning id, tenant, type, queue, status, priority, crashes, attempts_made, internal, ticketed_at, finished_at
    ), delivery as (
      insert into deliveries (job_id, tenant, endpoint_id, event_id, event_type, position, created_at)
      select id, tenant, endpoint_id, event_id, event_type, position, statement_timestamp() from item
    ), ${newArrivals(sql)}, ${endings(sql)}`
}

/** Deliveries that are repeated let those go first that tell what happens now. */
const repeatedPriority = 1

/** A delivery that is to be repeated, and the id of the new one. */
export interface Repetition {
  readonly of: string
  readonly id: string
  /** How long the new one waits before it is sent, in milliseconds; not at all when absent. */
  readonly delayMs?: number
}

/**
 * Makes deliveries that have ended again, with the same event and body. Those that have not, or whose endpoint is disabled or
 * gone, are left out.
 *
 * @param onlyLatest leaves out also those that were made again since, be it at this moment by somebody else.
 * @returns the jobs, of which those without a delay now want a ticket.
 */
export async function redeliver(
  sql: Sql,
  tenant: string,
  wanted: readonly Repetition[],
  { onlyLatest = false } = {},
): Promise<(Ticketable & { readonly isDue: boolean })[]> {
  const list = (pick: (each: Repetition) => string | number) => plainArray(wanted.map(pick))
  return sql<(Ticketable & { isDue: boolean })[]>`
    with item as materialized (
      select wanted.id as new_id, d.*, j.type, j.queue, j.input, j.max_attempts, j.timeout_ms,
        case when wanted.delay_ms > 0 then statement_timestamp() + wanted.delay_ms * interval '1 millisecond' end as run_at
      from unnest(${list(({ of }) => of)}::text::uuid[], ${list(({ id }) => id)}::text::uuid[],
        ${list(({ delayMs = 0 }) => delayMs)}::text::float8[]) as wanted (old_id, id, delay_ms)
      cross join lateral (select * from deliveries where job_id = wanted.old_id and tenant = ${tenant} limit 1) as d
      cross join lateral (select * from jobs where id = d.job_id and finished_at is not null limit 1) as j
      where ${isWanted(sql)} and ${onlyLatest ? isLatest(sql) : sql`true`}
      order by wanted.old_id
    ), marked as (
      update deliveries d set redelivered_at = statement_timestamp() from item
      where d.job_id = item.job_id and ${onlyLatest ? sql`d.redelivered_at is null` : sql`true`}
      returning d.job_id
    ), taken as materialized (
      select item.* from item join marked using (job_id)
    ), changed as (
      insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, run_at, due_at, max_attempts,
        timeout_ms, ticketed_at, redrive_of, created_at)
      select new_id, tenant, type, queue, case when run_at is null then 'queued' else 'scheduled' end, ${repeatedPriority}::smallint, input, '{}', '{}', true, run_at,
        run_at, max_attempts, timeout_ms, case when run_at is null then statement_timestamp() end, job_id, statement_timestamp()
      from taken
      returning id, type, queue, status, priority, crashes, attempts_made, ticketed_at
    ), delivery as (
      insert into deliveries (job_id, tenant, endpoint_id, event_id, event_type, position, created_at)
      select new_id, tenant, endpoint_id, event_id, event_type, position, statement_timestamp() from taken
    ), ${newArrivals(sql)}
    select ${ticketable(sql)}, j.status = 'queued' as is_due from changed j`
}
