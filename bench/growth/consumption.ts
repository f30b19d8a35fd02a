import type { Redis } from 'ioredis'
import type { Sql } from 'postgres'
import type { Servers } from '../bench.ts'
import { withPostgres, withRedis } from '../servers.ts'
import { readCpu, readCpuOfFamily } from './processes.ts'
import { readInfo } from './redis-info.ts'

/** Whose work is counted. */
export interface Watched<Name extends string> {
  readonly servers: Servers
  /** postgres://… of the database whose statements count; {@link countStatementsOf} was called for it. */
  readonly databaseUrl: string
  /** Our processes whose CPU time counts. */
  readonly pids: Readonly<Record<Name, number>>
}

/** What was used since some moment: counts, and CPU time in seconds. */
export interface Consumption<Name extends string> {
  /** Statements that clients sent to the database. */
  readonly statements: number
  /** Commands of Redis, those of its scripts included. */
  readonly redisCommands: number
  readonly postgresCpu: number
  readonly redisCpu: number
  readonly cpu: Readonly<Record<Name, number>>
}

/** Has the statements counted of all connections that are made to the database from now on. */
export async function countStatementsOf(databaseUrl: string): Promise<void> {
  const name = databaseOf(databaseUrl)
  await withPostgres(databaseUrl, async (sql) => {
    await sql.unsafe(`alter database ${name} set compute_query_id = 'on'`)
    await sql.unsafe(`alter database ${name} set pg_stat_statements.track = 'top'`)
  })
}

/**
 * Looks on for a while.
 *
 * @param wait takes the time that is looked at.
 * @returns what was used meanwhile, and how long that took in milliseconds. What the looking needs is not in the counts.
 */
export function watch<Name extends string>(
  watched: Watched<Name>,
  wait: () => Promise<unknown>,
): Promise<Consumption<Name> & { ms: number }> {
  const { postgresUrl, redisUrl } = watched.servers
  return withPostgres(postgresUrl, (sql) =>
    withRedis(redisUrl, async (redis) => {
      await sql`create extension if not exists pg_stat_statements`
      const before = await read(watched, sql, redis)
      const startedAt = performance.now()
      await wait()
      const after = await read(watched, sql, redis)
      const ms = performance.now() - startedAt
      const used = subtract(after, before)
      return { ...used, redisCommands: used.redisCommands - ownRedisCommands, ms }
    }),
  )
}

/** Each reading is one. */
const ownRedisCommands = 1

async function read<Name extends string>(
  { servers, databaseUrl, pids }: Watched<Name>,
  sql: Sql,
  redis: Redis,
): Promise<Consumption<Name>> {
  const [row] = await sql<{ statements: number }[]>`
    select coalesce(sum(calls), 0)::float8 as statements from pg_stat_statements(false) s
    join pg_database d on d.oid = s.dbid where d.datname = ${databaseOf(databaseUrl)}`
  return {
    statements: row?.statements ?? 0,
    redisCommands: await readInfo(redis, 'stats', 'total_commands_processed'),
    postgresCpu: await readCpuOfFamily(servers.postmasterPid),
    redisCpu: await readCpu(await readInfo(redis, 'server', 'process_id')),
    cpu: await mapValues(pids, readCpu),
  }
}

function subtract<Name extends string>(after: Consumption<Name>, before: Consumption<Name>): Consumption<Name> {
  return {
    statements: after.statements - before.statements,
    redisCommands: after.redisCommands - before.redisCommands,
    postgresCpu: after.postgresCpu - before.postgresCpu,
    redisCpu: after.redisCpu - before.redisCpu,
    cpu: Object.fromEntries(names(after.cpu).map((name) => [name, after.cpu[name] - before.cpu[name]])) as Record<
      Name,
      number
    >,
  }
}

async function mapValues<Name extends string>(
  numbers: Readonly<Record<Name, number>>,
  change: (value: number) => Promise<number>,
): Promise<Record<Name, number>> {
  const entries = names(numbers).map(async (name) => [name, await change(numbers[name])] as const)
  return Object.fromEntries(await Promise.all(entries)) as Record<Name, number>
}

function names<Name extends string>(record: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(record) as Name[]
}

function databaseOf(url: string): string {
  return new URL(url).pathname.slice(1)
}
