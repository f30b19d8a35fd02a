import { plainArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import type { OwnedRun } from './requeue.ts'

/**
 * Lets Postgres end the transaction when it is idle for so long, and sends a statement right behind.
 *
 * @param sql of an open transaction.
 * @returns what the statement returned.
 * @throws the error that came first in the transaction: where the limit was refused, that of the statement only says so.
 */
export async function endIfIdle<Result>(sql: Sql, idleMs: number, send: () => Promise<Result>): Promise<Result> {
  const limit = sql`select set_config('idle_in_transaction_session_timeout', ${String(idleMs)}::text, true)`.execute()
  const [limited, sent] = await Promise.allSettled([limit, send()])
  if (limited.status === 'rejected') throw limited.reason
  if (sent.status === 'rejected') throw sent.reason
  return sent.value
}

/**
 * Locks those of the runs that are still running under their epoch, until the transaction ends: nobody else can end them
 * meanwhile, so the transaction may settle them.
 *
 * @param sql of an open transaction.
 * @param idleMs time without a statement after which Postgres ends the transaction, so that a process that stands still does
 *   not keep the rows from those who would run them elsewhere.
 * @returns the ids of the locked jobs.
 */
export async function lockRuns(sql: Sql, runs: readonly OwnedRun[], idleMs: number): Promise<Set<string>> {
  const locked = await endIfIdle(
    sql,
    idleMs,
    async () => sql<{ id: string }[]>`
      select j.id
      from unnest(${plainArray(runs.map(({ id }) => id))}::text::uuid[], ${plainArray(runs.map(({ epoch }) => epoch))}::text::int[])
        as run (id, epoch)
      join jobs j on j.id = run.id and j.status = 'running' and j.epoch = run.epoch
      order by j.id for update of j`,
  )
  return new Set(locked.map(({ id }) => id))
}
