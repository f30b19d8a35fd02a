import type { Sql } from './connect.ts'
import { newArrivals } from './live.ts'
import { ticketable, type Ticketable } from './requeue.ts'

/** Rows that one call promotes at most. */
export const promoteLimit = 1_000

/**
 * Moves scheduled and retrying jobs whose time has come to their queue, earliest first, up to {@link promoteLimit} at a time.
 * Several processes may call it at once.
 *
 * @returns the jobs that now want a ticket.
 */
export async function promoteDue(sql: Sql): Promise<Ticketable[]> {
  return sql<Ticketable[]>`
    with due as materialized (
      select id from jobs where due_at <= statement_timestamp() order by due_at limit ${promoteLimit} for update skip locked
    ), ${queue(sql, sql`j.id in (select id from due)`)}`
}

/**
 * Moves one scheduled or retrying job to its queue before its time.
 *
 * @returns the job that now wants a ticket, or undefined when it was not waiting for a time.
 */
export async function promoteJob(sql: Sql, tenant: string, id: string): Promise<Ticketable | undefined> {
  const [job] = await sql<Ticketable[]>`
    with ${queue(sql, sql`j.id = ${id} and j.tenant = ${tenant}`)}`
  return job
}

/** Queues those of the rows that wait for a time. */
function queue(sql: Sql, rows: ReturnType<typeof ticketable>) {
  return sql`changed as (
      update jobs j set status = 'queued', due_at = null, worker_id = null, ticketed_at = statement_timestamp()
      where ${rows} and j.status in ('scheduled', 'retrying')
      returning ${ticketable(sql)}, j.status, j.ticketed_at
    ), ${newArrivals(sql)}
    select id, queue, priority, type, crashes, alone from changed`
}
