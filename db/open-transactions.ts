import type { Sql } from './connect.ts'

/** A transaction that somebody has left open. */
export interface OpenTransaction {
  /** Its server process. */
  readonly pid: number
  readonly database: string
  readonly applicationName: string
  /** What its connection does, e.g. `idle in transaction`. */
  readonly state: string
  /** In milliseconds. */
  readonly openForMs: number
}

/**
 * Finds transactions in any database of the server that have been open for longer than `ageMs` milliseconds, up to a
 * hundred, oldest first: while they last, Postgres cannot remove what has been deleted and replaced since.
 *
 * @returns none of other users unless our own may read everybody's statistics (`pg_read_all_stats`).
 */
export async function findOpenTransactions(sql: Sql, ageMs: number): Promise<OpenTransaction[]> {
  return sql<OpenTransaction[]>`
    select pid, datname as database, application_name, state,
      round(extract(epoch from statement_timestamp() - xact_start) * 1000)::float8 as open_for_ms
    from pg_stat_activity
    where xact_start < statement_timestamp() - ${ageMs}::float8 * interval '1 millisecond'
      and backend_type = 'client backend' and pid <> pg_backend_pid()
    order by xact_start limit 100`
}
