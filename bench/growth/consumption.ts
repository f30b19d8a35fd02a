import type { Redis } from 'ioredis'
import type { Sql } from 'postgres'
import type { Servers } from '../bench.ts'
import { withPostgres, withRedis } from '../servers.ts'
import { readCpu, readCpuOfFamily } from './processes.ts'
import { readInfo } from './redis-info.ts'

/** Whose work is counted. */
export interface Watched {
  readonly servers: Servers
  /** postgres://… of the database whose statements count; {@link countStatementsOf} was called for it. */
  readonly databaseUrl: string
  readonly pids: { readonly api: number; readonly worker: number }
}

/** What was used since some moment: counts, and CPU time in seconds. */
export interface Consumption {
  /** Statements that clients sent to the database. */
  readonly statements: number
  /** Commands of Redis, those of its scripts included. */
  readonly redisCommands: number
  readonly postgresCpu: number
  readonly redisCpu: number
  readonly apiCpu: number
  readonly workerCpu: number
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
export function watch(watched: Watched, wait: () => Promise<unknown>): Promise<Consumption & { ms: number }> {
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

async function read({ servers, databaseUrl, pids }: Watched, sql: Sql, redis: Redis): Promise<Consumption> {
  const [row] = await sql<{ statements: number }[]>`
    select coalesce(sum(calls), 0)::float8 as statements from pg_stat_statements(false) s
    join pg_database d on d.oid = s.dbid where d.datname = ${databaseOf(databaseUrl)}`
  return {
    statements: row?.statements ?? 0,
    redisCommands: await readInfo(redis, 'stats', 'total_commands_processed'),
    postgresCpu: await readCpuOfFamily(servers.postmasterPid),
    redisCpu: await readCpu(await readInfo(redis, 'server', 'process_id')),
    apiCpu: await readCpu(pids.api),
    workerCpu: await readCpu(pids.worker),
  }
}

function subtract(after: Consumption, before: Consumption): Consumption {
  return {
    statements: after.statements - before.statements,
    redisCommands: after.redisCommands - before.redisCommands,
    postgresCpu: after.postgresCpu - before.postgresCpu,
    redisCpu: after.redisCpu - before.redisCpu,
    apiCpu: after.apiCpu - before.apiCpu,
    workerCpu: after.workerCpu - before.workerCpu,
  }
}

function databaseOf(url: string): string {
  return new URL(url).pathname.slice(1)
}
