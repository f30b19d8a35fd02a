import type { Sql } from './connect.ts'
import { queuedJobs, runningJobs } from './live.ts'
import type { TerminalStatus } from './statuses.ts'

/** Enters queues that are not known yet. */
export async function ensureQueues(sql: Sql, names: readonly string[]): Promise<void> {
  await sql`insert into queues (name) select * from unnest(${[...names].sort()}::text[]) on conflict do nothing`
}

/** A queue and whether it is paused. */
export interface QueueRow {
  readonly name: string
  readonly paused: boolean
}

/** @returns every known queue, by name. */
export async function readQueues(sql: Sql): Promise<QueueRow[]> {
  return sql<QueueRow[]>`select name, paused from queues order by name`
}

/** Pauses or resumes a queue: from the commit on no claim takes from a paused one. @returns false when there is no such queue. */
export async function setPaused(sql: Sql, name: string, paused: boolean): Promise<boolean> {
  const rows = await sql`update queues set paused = ${paused} where name = ${name} returning name`
  return rows.length > 0
}

/** Finished jobs are counted up to here, so that the cost of a count does not grow with them. */
export const countLimit = 10_000

/** How a queue stands. Counts stop at {@link countLimit}. */
export interface QueueCounts extends QueueRow {
  readonly scheduled: number
  readonly queued: number
  readonly running: number
  readonly retrying: number
  readonly completed: number
  readonly failed: number
  readonly cancelled: number
  /** Age of the job that has been ready for longest, in milliseconds; null when none is. */
  readonly oldestReadyMs: number | null
}

/** @returns counts by status for one queue, or for all. */
export async function countQueues(sql: Sql, name?: string): Promise<QueueCounts[]> {
  const upToLimit = (rows: ReturnType<typeof sql>) =>
    sql`(select count(*)::int from (${rows} limit ${countLimit}) as n)`
  const due = (status: ReturnType<typeof sql>) =>
    upToLimit(sql`select from jobs j where j.queue = q.name and j.due_at is not null and j.status = ${status}`)
  const ended = (status: TerminalStatus) => sql`(
    select least(coalesce(sum(jobs), 0), ${countLimit})::int
    from (select e.jobs from endings e where e.queue = q.name and e.status = ${status} limit ${countLimit}) as n)`
  return sql<QueueCounts[]>`
    select q.name, q.paused, ${due(sql`'scheduled'`)} as scheduled,
      ${upToLimit(sql`select from ${queuedJobs(sql)} where a.queue = q.name`)} as queued,
      ${upToLimit(sql`select from ${runningJobs(sql)} where j.queue = q.name`)} as running, ${due(sql`'retrying'`)} as retrying,
      ${ended('completed')} as completed, ${ended('failed')} as failed, ${ended('cancelled')} as cancelled,
      (select extract(epoch from statement_timestamp() - min(oldest)) * 1000 from (
        select (select a.ticketed_at from ${queuedJobs(sql)} where a.queue = q.name and a.priority = lane.priority
          order by a.ticketed_at limit 1) as oldest
        from generate_series(0, 9) as lane (priority)) as by_priority)::float8 as oldest_ready_ms
    from queues q where ${name === undefined ? sql`true` : sql`q.name = ${name}`} order by q.name`
}
