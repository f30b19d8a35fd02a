import type { Sql } from '@jobyard/db/connect'

/**
 * Puts a clock of ours before that of Postgres: functions of a schema that is searched first. The platform's statements are as they are; connections
 * that are opened from now on see this clock alone, and it stands still until it is set.
 */
export async function simulateClock(admin: Sql, database: string, start: Date): Promise<void> {
  await admin`create schema simulated`
  await admin`create table simulated.clock (at timestamptz not null)`
  await admin`insert into simulated.clock values (${start})`
  for (const name of ['statement_timestamp', 'clock_timestamp', 'transaction_timestamp', 'now']) {
    await admin.unsafe(
      `create function simulated.${name}() returns timestamptz language sql stable as 'select at from simulated.clock'`,
    )
  }
  await admin.unsafe(`alter database "${database}" set search_path = simulated, pg_catalog, public`)
}

/** Sets the simulated clock. */
export async function setClock(sql: Sql, at: Date): Promise<void> {
  await sql`update simulated.clock set at = ${at}`
}
