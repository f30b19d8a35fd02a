import type { Sql } from './connect.ts'
import type { TerminalStatus } from './statuses.ts'

/** Rows that one statement deletes at most. */
export const pruneLimit = 1_000

/**
 * Deletes finished jobs of a queue and status, with their attempts, oldest first, up to {@link pruneLimit} at a time.
 *
 * @param olderThanMs age since the job finished, in milliseconds.
 * @returns how many jobs went.
 */
export async function pruneJobs(sql: Sql, queue: string, status: TerminalStatus, olderThanMs: number): Promise<number> {
  const [row] = await sql<{ pruned: number }[]>`
    with old as materialized (
      select id from jobs
      where queue = ${queue} and status = ${status} and finished_at is not null
        and finished_at < statement_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'
      order by finished_at limit ${pruneLimit} for update skip locked
    ), attempt as (
      delete from attempts where job_id in (select id from old)
    ), gone as (
      delete from jobs where id in (select id from old) returning 1
    )
    select count(*)::int as pruned from gone`
  return row?.pruned ?? 0
}

/** Deletes outbox events by age, up to {@link pruneLimit} at a time. @returns how many went. */
export async function pruneEvents(sql: Sql, olderThanMs: number): Promise<number> {
  const rows = await sql`
    delete from outbox where id in (
      select id from outbox where occurred_at < statement_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'
      order by occurred_at limit ${pruneLimit}) returning 1`
  return rows.length
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
      where k.created_at < statement_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'
        and not exists (select from jobs j where j.id = k.job_id and j.finished_at is null)
      order by k.created_at limit ${pruneLimit}) returning 1`
  return rows.length
}
