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
  return sql`arrivals a join jobs j on ${waitingSince(sql)}`
}

/** Source of rows: every running job `j`, once, with its claim `c`; narrow it by the worker of `c`, or name what holds `claims` that are narrowed. */
export function runningJobs(sql: Sql, claims = sql`claims`) {
  return sql`${claims} c join jobs j on ${runningUnder(sql)}`
}

/*
 * Conditions are `id = any(…)`, never joins with the unnested ids: a join can be hashed or merged, and Postgres may then read all of
 * `jobs` for it, which it did among ten million ended ones.
 */

/** Whether a job `j` of an arrival `a` has waited since then; an arrival without any such is spent. */
function waitingSince(sql: Sql) {
  return sql`j.id = any(a.job_ids) and j.status = 'queued' and j.ticketed_at = a.ticketed_at`
}

/** Whether a job `j` of a claim `c` still runs under it; a claim without any such is spent. */
function runningUnder(sql: Sql) {
  return sql`j.id = any(c.job_ids) and j.status = 'running' and j.worker_id = c.worker_id and j.started_at = c.claimed_at`
}

/** Source of rows: each of the queues with each priority, as `each_one`. */
export function everyPriority(sql: Sql, queues: readonly string[]) {
  return sql`(select * from unnest(${[...queues]}::text[]) as q (queue), generate_series(0, 9) as p (priority)) as each_one`
}

/** Arrivals that one statement looks at. */
export const arrivalsPage = 200
/** Age from which on arrivals are looked at, in milliseconds; a younger one has hardly been claimed yet. */
const arrivalsAgeMs = 1_000

/** Which arrivals are looked at together. */
export interface ArrivalsOf {
  readonly queue: string
  readonly priority: number
}

/** @returns the queues and priorities that have arrivals. */
export async function findArrivals(sql: Sql, queues: readonly string[]): Promise<ArrivalsOf[]> {
  return sql<ArrivalsOf[]>`
    select each_one.queue, each_one.priority::int from ${everyPriority(sql, queues)}
    cross join lateral (
      select 1 from arrivals a where a.queue = each_one.queue and a.priority = each_one.priority limit 1) as found`
}

/**
 * Deletes the spent ones among a page of arrivals, oldest first.
 *
 * @param after where the page before ended.
 * @returns how many were looked at and how many of these were spent, and where the page ended.
 */
export async function deleteSpentArrivals(
  sql: Sql,
  { queue, priority }: ArrivalsOf,
  after = '-infinity',
): Promise<{ seen: number; spent: number; last: string }> {
  const [row] = await sql<{ seen: number; spent: number; last: string }[]>`
    with page as materialized (
      select a.ctid, a.ticketed_at, a.job_ids from arrivals a
      where a.queue = ${queue} and a.priority = ${priority} and a.ticketed_at >= ${after}::text::timestamptz
        and a.ticketed_at < statement_timestamp() - ${arrivalsAgeMs}::float8 * interval '1 millisecond'
      order by a.ticketed_at limit ${arrivalsPage}
    ), spent as (
      delete from arrivals where ctid = any(array(
        select a.ctid from page a where not exists (select from jobs j where ${waitingSince(sql)})))
      returning 1
    )
    select (select count(*)::int from page) as seen, (select count(*)::int from spent) as spent,
      coalesce((select max(ticketed_at) from page)::text, ${after}::text) as last`
  return row ?? { seen: 0, spent: 0, last: after }
}

/** Deletes the spent claims of one worker process, or of all that are gone. */
export async function deleteSpentClaims(sql: Sql, workerId?: string): Promise<void> {
  const whose =
    workerId === undefined
      ? sql`not exists (select from workers w where w.id = c.worker_id)`
      : sql`c.worker_id = ${workerId}`
  await sql`
    delete from claims where ctid = any(array(
      select c.ctid from claims c where ${whose} and not exists (select from jobs j where ${runningUnder(sql)})))`
}
