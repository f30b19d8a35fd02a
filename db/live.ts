import type { Sql } from './connect.ts'

/** From crashes on that make a job a suspect: it has no ticket, and runs alone. */
export const suspectCrashes = 2

/**
 * Part of every statement that makes jobs ready: enters those of the CTE `changed` that are queued, so that they are found without
 * their ticket. `changed` must have id, queue, status, priority, crashes and ticketed_at.
 */
export function newArrivals(sql: Sql) {
  return sql`arrival as (
      insert into arrivals (queue, priority, suspect, ticketed_at, job_ids)
      select queue, priority, crashes >= ${suspectCrashes}, ticketed_at, array_agg(id) from changed where status = 'queued'
      group by 1, 2, 3, 4
    )`
}

/** Source of rows: every queued job `j`, once, with its arrival `a`; narrow it by the columns of `a`. */
export function queuedJobs(sql: Sql) {
  return sql`arrivals a cross join lateral unnest(a.job_ids) as member (id)
    join jobs j on j.id = member.id and j.status = 'queued' and j.ticketed_at = a.ticketed_at`
}

/** Source of rows: every running job `j`, once, with its claim `c`; narrow it by the worker of `c`. */
export function runningJobs(sql: Sql) {
  return sql`claims c cross join lateral unnest(c.job_ids) as member (id)
    join jobs j on j.id = member.id and j.status = 'running' and j.worker_id = c.worker_id and j.started_at = c.claimed_at`
}

/** Arrivals that one statement looks at in each queue and priority, oldest first. */
const arrivalsLookedAt = 1_000

/**
 * Deletes the spent ones among the oldest arrivals of the queues.
 *
 * @param olderThanMs age of the arrivals to look at, in milliseconds.
 * @returns whether all that were looked at in one queue and priority were spent, so that there may be more.
 */
export async function deleteSpentArrivals(sql: Sql, queues: readonly string[], olderThanMs: number): Promise<boolean> {
  const [row] = await sql<{ more: boolean }[]>`
    with spent as (
      delete from arrivals where ctid = any(array(
        select a.ctid from unnest(${[...queues]}::text[]) as queue (name), generate_series(0, 9) as priority (number)
        cross join lateral (
          select a.ctid, a.ticketed_at, a.job_ids from arrivals a
          where a.queue = queue.name and a.priority = priority.number
            and a.ticketed_at < statement_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'
          order by a.ticketed_at limit ${arrivalsLookedAt}
        ) a
        where ${isSpent(sql)}))
      returning queue, priority
    )
    select coalesce(max(deleted) = ${arrivalsLookedAt}, false) as more
    from (select count(*) as deleted from spent group by queue, priority) as lanes`
  return row?.more ?? false
}

/** Deletes the spent claims of one worker process, or of all that are gone. */
export async function deleteSpentClaims(sql: Sql, workerId?: string): Promise<void> {
  const whose =
    workerId === undefined
      ? sql`not exists (select from workers w where w.id = c.worker_id)`
      : sql`c.worker_id = ${workerId}`
  await sql`
    delete from claims c where ${whose} and not exists (
      select from unnest(c.job_ids) as member (id)
      join jobs j on j.id = member.id and j.status = 'running' and j.worker_id = c.worker_id and j.started_at = c.claimed_at)`
}

function isSpent(sql: Sql) {
  return sql`not exists (
    select from unnest(a.job_ids) as member (id)
    join jobs j on j.id = member.id and j.status = 'queued' and j.ticketed_at = a.ticketed_at)`
}
