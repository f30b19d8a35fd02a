import { rmSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres } from '@jobyard/db/embedded'
import { findPostmaster } from '@jobyard/db/embedded-server'
import { startTestRedis } from '@jobyard/testing/redis'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import type { Servers } from './bench.ts'

/** Servers of one run of the benchmark. */
export interface RunningServers extends Servers {
  /** Folder on the disk that both servers write to. */
  readonly folder: string
  stop(): Promise<void>
}

export interface ServerOptions {
  /** Loads what counts the statements of those databases that ask for it. */
  readonly countStatements?: boolean
}

/** Redis never rewrites its log by itself, which would strike one contestant or another. */
const redisArgs = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0']
/** Databases that want their statements counted switch it on; for the others nothing changes. */
const countingOnDemand = {
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'none',
  compute_query_id: 'off',
}
const databaseName = 'bench'
/** Time that Postgres has to end when this process exits, in milliseconds. */
const endWithinMs = 2_000

/** Starts Postgres and Redis for all contestants, with data on disk; they and their data are gone when this process exits. */
export async function startServers({ countStatements }: ServerOptions = {}): Promise<RunningServers> {
  const folder = await mkdtemp(join(tmpdir(), 'jobyard-bench-'))
  await chmod(folder, 0o711)
  const settings = { max_connections: '300', ...(countStatements && countingOnDemand) }
  const server = await startEmbeddedPostgres({ home: folder, settings })
  const postmaster = await findPostmaster(server.dataFolder)
  if (!postmaster) throw new Error('Postgres ended as soon as it had started')
  const onExit = () => killAndDelete(postmaster.pid, folder)
  process.once('exit', onExit)
  const redis = await startTestRedis({ args: redisArgs })
  return {
    postgresUrl: server.url,
    postmasterPid: postmaster.pid,
    redisUrl: redis.url,
    folder,
    stop: async () => {
      await redis.stop()
      await server.stop()
      await rm(folder, { recursive: true, force: true })
      process.off('exit', onExit)
    },
  }
}

/**
 * Empties both servers.
 *
 * @returns postgres://… of a new, empty database.
 */
export async function wipeServers(servers: Servers): Promise<string> {
  const databaseUrl = await makeDatabase(servers, databaseName)
  await emptyRedis(servers)
  return databaseUrl
}

/**
 * Makes a database, in place of the one that may have this name. {@link wipeServers} leaves it alone.
 *
 * @returns its postgres://…
 */
export async function makeDatabase(servers: Servers, name: string): Promise<string> {
  await withPostgres(servers.postgresUrl, async (sql) => {
    await sql.unsafe(`drop database if exists ${name} with (force)`)
    await sql.unsafe(`create database ${name}`)
  })
  const url = new URL(servers.postgresUrl)
  url.pathname = `/${name}`
  return url.href
}

/** Empties Redis and its log. */
export async function emptyRedis({ redisUrl }: Servers): Promise<void> {
  await withRedis(redisUrl, async (redis) => {
    await redis.flushall()
    await redis.bgrewriteaof()
    while (/aof_rewrite_(in_progress|scheduled):1/.test(await redis.info('persistence'))) await delay(10)
  })
}

/** Lets the servers get loading behind them: statistics for the planner, a checkpoint, a rest of so many milliseconds. */
export async function restServers(databaseUrl: string, restMs: number): Promise<void> {
  await withPostgres(databaseUrl, async (sql) => {
    await sql`analyze`
    await sql`checkpoint`
  })
  await delay(restMs)
}

/** Runs `work` on one connection of its own. */
export async function withPostgres<Result>(url: string, work: (sql: postgres.Sql) => Promise<Result>): Promise<Result> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** Runs `work` on a connection of its own. */
export async function withRedis<Result>(url: string, work: (redis: Redis) => Promise<Result>): Promise<Result> {
  const redis = new Redis(url)
  try {
    return await work(redis)
  } finally {
    redis.disconnect()
  }
}

function killAndDelete(pid: number, folder: string): void {
  if (signal(pid, 'SIGQUIT')) waitForEnd(pid)
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
}

/** Blocks, as what runs at the exit of a process must. */
function waitForEnd(pid: number): void {
  const deadline = performance.now() + endWithinMs
  const nap = new Int32Array(new SharedArrayBuffer(4))
  while (signal(pid, 0) && performance.now() < deadline) Atomics.wait(nap, 0, 0, 10)
}

/** @returns whether the process was there. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}
