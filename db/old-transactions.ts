import type { Sql } from './connect.ts'

/** What keeps vacuum from removing dead rows, in whatever database of the server. */
export interface OldTransaction {
  readonly kind: 'session' | 'prepared' | 'slot'
  /** Process id of a session, name of anything else. */
  readonly name: string
  /** Database; null of a physical replication slot. */
  readonly database: string | null
  /** Whose it is: the application's name, or the user's. */
  readonly owner: string
  /** `idle in transaction` and the like. */
  readonly state: string
  /** In milliseconds; null where Postgres does not tell it: of slots, and of others' sessions to users without pg_read_all_stats. */
  readonly ageMs: number | null
  /** Transactions that have begun since, of the whole server. */
  readonly transactions: number
}

/** Transactions after which something is old, where its age in time is unknown. */
const oldAfterTransactions = 1_000_000

/** @returns transactions, prepared ones and unused replication slots that are older than `olderThanMs`, those that hold up most first. */
export async function findOldTransactions(sql: Sql, olderThanMs: number): Promise<OldTransaction[]> {
  return sql<OldTransaction[]>`
    with holder as (
      select 'session' as kind, pid::text as name, datname::text as database,
        coalesce(nullif(application_name, ''), usename::text, '') as owner, coalesce(state, '') as state,
        ${msSince(sql, 'xact_start')} as age_ms, greatest(age(backend_xid), age(backend_xmin), 0) as transactions
      from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
      union all
      select 'prepared', gid, database::text, owner::text, 'prepared', ${msSince(sql, 'prepared')}, age(transaction)
      from pg_prepared_xacts
      union all
      select 'slot', slot_name::text, database::text, '', 'unused', null, age(xmin)
      from pg_replication_slots where xmin is not null and not active
    )
    select * from holder
    where age_ms > ${olderThanMs}::float8 or (age_ms is null and transactions > ${oldAfterTransactions})
    order by transactions desc, age_ms desc nulls last limit 10`
}

function msSince(sql: Sql, column: string) {
  return sql`(extract(epoch from statement_timestamp() - ${sql(column)}) * 1000)::float8`
}
