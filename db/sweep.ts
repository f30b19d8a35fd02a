import type { Sql } from './connect.ts'
import { everyPriority, newArrivals, queuedJobs } from './live.ts'
import { ticketable, type Ticketable } from './requeue.ts'

/** Rows that one call re-tickets at most. */
export const sweepLimit = 1_000
/**
 * Age below which a queued row is never judged to have lost its ticket, in milliseconds.
 * It must exceed the deadline of a send, or a ticket still under way would be sent twice.
 */
export const sweepMarginMs = 5_000
/**
 * Time before the last proven stamp from which on rows are looked at once more, in milliseconds: one whose statement was long in
 * committing was not to be seen then.
 */
const lateCommitMs = 120_000

/** Where a probe is to be sent, and the moment it will prove things about. */
export interface ProbeTarget {
  readonly queue: string
  readonly priority: number
  /** RFC 3339 with microseconds, by the clock of Postgres. */
  readonly stamp: string
}

/** @returns every queue and priority of `queues` in which a job has been waiting for longer than the margin. */
export async function findProbeTargets(sql: Sql, queues: readonly string[]): Promise<ProbeTarget[]> {
  return sql<ProbeTarget[]>`
    select each_one.queue, each_one.priority::int, statement_timestamp()::text as stamp
    from ${everyPriority(sql, queues)}
    cross join lateral (
      select 1 from ${queuedJobs(sql)} where a.queue = each_one.queue and a.priority = each_one.priority and not a.suspect
        and a.ticketed_at < statement_timestamp() - ${sweepMarginMs}::float8 * interval '1 millisecond'
      order by a.ticketed_at limit 1) as oldest`
}

/**
 * Re-tickets the jobs of a queue and priority that a probe has proved to have lost their ticket: still queued, and ticketed
 * longer than the margin before the probe's stamp. Oldest first, up to {@link sweepLimit} at a time; those that are locked are
 * left out.
 *
 * @param after stamp proven by an earlier probe: rows from well before it were judged then.
 * @returns the jobs that now want a ticket.
 */
export async function sweepLost(sql: Sql, target: ProbeTarget, after = '-infinity'): Promise<Ticketable[]> {
  return sql<Ticketable[]>`
    with lost as materialized (
      select j.id from ${lostJobs(sql, target, after)}
      order by a.ticketed_at limit ${sweepLimit} for update of j skip locked
    ), changed as (
      update jobs j set ticketed_at = statement_timestamp()
      from lost where j.id = lost.id and j.status = 'queued'
      returning ${ticketable(sql)}, j.status, j.ticketed_at
    ), ${newArrivals(sql)}
    select id, queue, priority, type, crashes, alone from changed`
}

/**
 * Looks for jobs that a sweep had to leave out.
 *
 * @param after as {@link sweepLost} was given it.
 * @returns when the oldest of them was ticketed, as a stamp: what came before it is proven. Undefined when there is none.
 */
export async function findLeftOut(sql: Sql, target: ProbeTarget, after?: string): Promise<string | undefined> {
  const [row] = await sql<{ stamp: string }[]>`
    select a.ticketed_at::text as stamp from ${lostJobs(sql, target, after)} order by a.ticketed_at limit 1`
  return row?.stamp
}

/** Source of rows: the jobs that have lost their ticket as far as the probe can tell. */
function lostJobs(sql: Sql, { queue, priority, stamp }: ProbeTarget, after = '-infinity') {
  const ms = (duration: number) => sql`${duration}::float8 * interval '1 millisecond'`
  return sql`${queuedJobs(sql)}
      where a.queue = ${queue} and a.priority = ${priority} and not a.suspect
        and a.ticketed_at < ${stamp}::text::timestamptz - ${ms(sweepMarginMs)}
        and a.ticketed_at >= ${after}::text::timestamptz - ${ms(lateCommitMs)}`
}
