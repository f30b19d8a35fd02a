import type { Sql } from './connect.ts'
import type { TerminalStatus } from './statuses.ts'

/** Jobs or keys that one statement deletes, about; of jobs it may be one ending more. */
export const pruneLimit = 1_000

/** Ages past which things go, in milliseconds since the job ended. */
export interface Ages {
  readonly jobMs: number
  /** An event stays as long as its job does. */
  readonly eventMs: number
}

/**
 * Deletes ended jobs of a queue and status with their attempts, oldest first, some {@link pruneLimit} at a time; and their
 * events, those that are to be kept for longer excepted.
 *
 * @returns how many jobs went.
 */
export async function pruneJobs(sql: Sql, queue: string, status: TerminalStatus, ages: Ages): Promise<number> {
  const [row] = await sql<{ pruned: number }[]>`
    with ${oldEndings(sql, sql`queue = ${queue}`, status, ages.jobMs)},
    old as materialized (
      select unnest(e.job_ids) as id, e.ended_at < ${ago(sql, ages.eventMs)} as past from endings e join ending on e.ctid = ending.ctid
    ), attempt as (
      delete from attempts where job_id in (select id from old)
    ), job as (
      delete from jobs where id in (select id from old)
    ), event as (
      delete from outbox where id in (select id from old where past)
    ), event_kept as (
      update endings set queue = null
      where ctid in (select ctid from ending) and ended_at >= ${ago(sql, ages.eventMs)}
    ), gone as (
      delete from endings where ctid in (select ctid from ending) and ended_at < ${ago(sql, ages.eventMs)}
    )
    select count(*)::int as pruned from old`
  return row?.pruned ?? 0
}

/** Deletes events that have outlived their jobs, of some {@link pruneLimit} jobs at a time. @returns of how many. */
export async function pruneEvents(sql: Sql, status: TerminalStatus, olderThanMs: number): Promise<number> {
  const [row] = await sql<{ pruned: number }[]>`
    with ${oldEndings(sql, sql`queue is null`, status, olderThanMs)},
    gone as (
      delete from endings where ctid in (select ctid from ending) returning job_ids, jobs
    ), event as (
      delete from outbox where id in (select unnest(job_ids) from gone)
    )
    select coalesce(sum(jobs), 0)::int as pruned from gone`
  return row?.pruned ?? 0
}

/** The oldest endings that hold about {@link pruneLimit} jobs: as many as fit, one at least. */
function oldEndings(sql: Sql, whose: ReturnType<Sql>, status: TerminalStatus, olderThanMs: number) {
  return sql`oldest as materialized (
      select ctid, jobs from endings
      where ${whose} and status = ${status} and ended_at < ${ago(sql, olderThanMs)}
      order by ended_at limit ${pruneLimit} for update skip locked
    ), ending as materialized (
      select ctid from (select ctid, sum(jobs) over (rows unbounded preceding) - jobs as before from oldest) as counted
      where before < ${pruneLimit}
    )`
}

function ago(sql: Sql, ms: number) {
  return sql`statement_timestamp() - ${ms}::float8 * interval '1 millisecond'`
}

/**
 * Deletes idempotency keys by age, but none whose job may still run, up to {@link pruneLimit} at a time.
 *
 * @returns how many went.
 */
export async function pruneIdempotencyKeys(sql: Sql, olderThanMs: number): Promise<number> {
  const rows = await sql`
    delete from idempotency_keys where (tenant, key) in (
      select k.tenant, k.key from idempotency_keys k
      where k.created_at < ${ago(sql, olderThanMs)}
        and not exists (select from jobs j where j.id = k.job_id and j.finished_at is null)
      order by k.created_at limit ${pruneLimit}) returning 1`
  return rows.length
}
