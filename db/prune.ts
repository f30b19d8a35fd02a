import type { Sql } from './connect.ts'
import { deletedWords } from './search-words.ts'
import type { TerminalStatus } from './statuses.ts'

/** Jobs or keys that one statement deletes, about; of jobs it may be one ending more. */
export const pruneLimit = 1_000

/**
 * Time after which no endpoint holds an event any more, in milliseconds since it happened: one that takes what it gets, but slowly, would hold
 * all there is without end, and what is held costs each round a look. What it has not got by then it misses, as `tail` tells.
 */
const longestHoldMs = 7 * 86_400_000

/** Ages past which things go, in milliseconds since the job ended. */
export interface Ages {
  readonly jobMs: number
  /** An event stays as long as its job does. */
  readonly eventMs: number
}

/**
 * Deletes ended jobs of a queue and status with their attempts, deliveries, words and deduplication keys, oldest first, some {@link pruneLimit} at a time; and
 * their events, those that are to be kept for longer excepted. Jobs stay whose events have no place in the stream yet, or, for
 * {@link longestHoldMs}, are still before an endpoint.
 *
 * @returns how many jobs went.
 */
export async function pruneJobs(sql: Sql, queue: string, status: TerminalStatus, ages: Ages): Promise<number> {
  const [row] = await sql<{ pruned: number }[]>`
    with ${oldEndings(sql, sql`queue = ${queue}`, status, ages.jobMs)},
    old as materialized (
      select unnest(e.job_ids) as id, e.ended_at < ${ago(sql, ages.eventMs)} as past, e.events = 0 as internal
      from endings e join ending on e.ctid = ending.ctid
    ), attempt as (
      delete from attempts where job_id in (select id from old)
    ), delivery as (
      delete from deliveries where job_id = any(array(select id from old where internal))
    ), job as (
      delete from jobs where id in (select id from old) returning id, tenant, tags, metadata, status
    ), ${deletedWords(sql)}, deduplication as (
      delete from deduplications where ctid = any(array(
        select ctid from deduplications where job_id = any(array(select id from job)) for update skip locked))
    ), ${eventsOf(sql, sql`select id from old where past`)}, event_kept as (
      update endings set queue = null
      where ctid in (select ctid from ending) and ended_at >= ${ago(sql, ages.eventMs)}
    ), gone as (
      delete from endings where ctid in (select ctid from ending) and ended_at < ${ago(sql, ages.eventMs)} returning position
    ), ${newTail(sql)}
    select count(*)::int as pruned from old`
  return row?.pruned ?? 0
}

/** Deletes events that have outlived their jobs, of some {@link pruneLimit} jobs at a time. @returns of how many. */
export async function pruneEvents(sql: Sql, status: TerminalStatus, olderThanMs: number): Promise<number> {
  const [row] = await sql<{ pruned: number }[]>`
    with ${oldEndings(sql, sql`queue is null`, status, olderThanMs)},
    gone as (
      delete from endings where ctid in (select ctid from ending) returning job_ids, jobs, position
    ), ${eventsOf(sql, sql`select unnest(job_ids) from gone`)}, ${newTail(sql)}
    select coalesce(sum(jobs), 0)::int as pruned from gone`
  return row?.pruned ?? 0
}

/** Deletes events that are of no job, up to {@link pruneLimit} at a time. @returns how many went. */
export async function prunePlatformEvents(sql: Sql, olderThanMs: number): Promise<number> {
  const [row] = await sql<{ pruned: number }[]>`
    with ${readUpTo(sql)},
    gone as (
      delete from outbox where id = any(array(
        select o.id from outbox o
        where o.job_id is null and o.occurred_at < ${ago(sql, olderThanMs)} and o.position is not null and (o.occurred_at < ${ago(sql, longestHoldMs)} or ${isRead(sql, sql`o`)})
        order by o.occurred_at limit ${pruneLimit}))
      returning position
    ), ${newTail(sql)}
    select count(*)::int as pruned from gone`
  return row?.pruned ?? 0
}

/** The oldest endings that hold about {@link pruneLimit} jobs: as many as fit, one at least. */
function oldEndings(sql: Sql, whose: ReturnType<Sql>, status: TerminalStatus, olderThanMs: number) {
  return sql`${readUpTo(sql)}, oldest as materialized (
      select ctid, jobs from endings e
      where ${whose} and status = ${status} and ended_at < ${ago(sql, olderThanMs)}
        and (e.events = 0 or e.position is not null and (ended_at < ${ago(sql, longestHoldMs)} or ${isRead(sql, sql`e`)}))
      order by ended_at limit ${pruneLimit} for update skip locked
    ), ending as materialized (
      select ctid from (select ctid, sum(jobs) over (rows unbounded preceding) - jobs as before from oldest) as counted
      where before < ${pruneLimit}
    )`
}

/** Up to where all enabled endpoints of a tenant have made their deliveries, as the CTE `read_up_to`; no row for those who have none. */
function readUpTo(sql: Sql) {
  return sql`read_up_to as materialized (
      select tenant, min(least(cursor, replay_cursor)) as position from endpoints where disabled_at is null group by tenant
    )`
}

/** Whether no endpoint waits for the events of a row. */
function isRead(sql: Sql, row: ReturnType<Sql>) {
  return sql`not exists (select from read_up_to r where r.tenant = ${row}.tenant and r.position < ${row}.position)`
}

/** Deletes the events of jobs: that of their end, and those with data. */
function eventsOf(sql: Sql, jobs: ReturnType<Sql>) {
  return sql`event as (
      delete from outbox where id in (${jobs})
    ), told as (
      delete from outbox where job_id = any(array(${jobs})) and data is not null
    )`
}

/** Remembers the last place whose event is deleted, by the CTE `gone`. */
function newTail(sql: Sql) {
  return sql`tail as (
      update stream set tail = last from (select max(position) as last from gone) as deleted where last > tail
    )`
}

function ago(sql: Sql, ms: number) {
  return sql`statement_timestamp() - ${ms}::float8 * interval '1 millisecond'`
}

/**
 * Deletes idempotency keys by age, but none whose job is still there, up to {@link pruneLimit} at a time.
 *
 * @returns how many went.
 */
export async function pruneIdempotencyKeys(sql: Sql, olderThanMs: number): Promise<number> {
  const rows = await sql`
    delete from idempotency_keys where (tenant, key) in (
      select k.tenant, k.key from idempotency_keys k
      where k.created_at < ${ago(sql, olderThanMs)}
        and not exists (select from jobs j where j.id = k.job_id)
      order by k.created_at limit ${pruneLimit}) returning 1`
  return rows.length
}
