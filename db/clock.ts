import type { Sql } from './connect.ts'

/** @returns what the clock of Postgres shows, in milliseconds since 1970. */
export async function readClock(sql: Sql): Promise<number> {
  const [row] = await sql<{ ms: number }[]>`select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`
  return row?.ms ?? Number.NaN
}
