import type { Sql } from './connect.ts'
import type { Ticketable } from './requeue.ts'

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
      select id from jobs where status in ('scheduled', 'retrying') and run_at <= statement_timestamp()
      order by run_at limit ${promoteLimit} for update skip locked
    )
    update jobs j set status = 'queued', ticketed_at = statement_timestamp()
    from due where j.id = due.id and j.status in ('scheduled', 'retrying')
    returning j.id, j.queue, j.priority, j.crashes`
}

/**
 * Moves one scheduled or retrying job to its queue before its time.
 *
 * @returns the job that now wants a ticket, or undefined when it was not waiting for a time.
 */
export async function promoteJob(sql: Sql, tenant: string, id: string): Promise<Ticketable | undefined> {
  const [job] = await sql<Ticketable[]>`
    update jobs set status = 'queued', ticketed_at = statement_timestamp()
    where id = ${id} and tenant = ${tenant} and status in ('scheduled', 'retrying')
    returning id, queue, priority, crashes`
  return job
}
