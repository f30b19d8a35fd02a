import { execFile } from 'node:child_process'
import { open, readFile, rm } from 'node:fs/promises'
import { cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Redis } from 'ioredis'
import type { Sql } from 'postgres'
import { withPostgres, withRedis, type RunningServers } from '../servers.ts'

const run = promisify(execFile)
const postgresSettings = [
  'fsync',
  'synchronous_commit',
  'shared_buffers',
  'wal_compression',
  'max_wal_size',
  'max_connections',
]
const redisSettings = ['appendonly', 'appendfsync', 'auto-aof-rewrite-percentage', 'save']
/** Time that the disk is measured for, in milliseconds. */
const syncingMs = 500

/**
 * @returns the commit that is checked out, marked `-dirty` when files differ from it that are not written by the benchmark;
 *   `unknown` outside a repository.
 */
export async function readCommit(): Promise<string> {
  const options = { cwd: import.meta.dirname }
  const written = [
    'RESULTS.md',
    'results.json',
    'GROWTH.md',
    'growth.json',
    'NOTIFY.md',
    'notify.json',
    'HTTP.md',
    'http.json',
    'charts',
  ]
  const others = [':/', ...written.map((name) => `:(top,exclude)bench/${name}`)]
  try {
    const { stdout: commit } = await run('git', ['rev-parse', '--short=12', 'HEAD'], options)
    const { stdout: changed } = await run('git', ['diff', '--name-only', 'HEAD', '--', ...others], options)
    return `${commit.trim()}${changed ? '-dirty' : ''}`
  } catch {
    return 'unknown'
  }
}

/** Describes the machine, the versions and the settings, as the servers themselves tell them. */
export async function readMachine(servers: RunningServers): Promise<Record<string, string>> {
  const [cpu] = cpus()
  return {
    CPU: `${cpu?.model.trim()}, ${cpus().length} cores`,
    Memory: `${(totalmem() / 1024 ** 3).toFixed(0)} GiB`,
    Kernel: `${type()} ${release()}`,
    Disk: `${await countSyncs(servers.folder)} writes of 8 KiB with fdatasync per second`,
    Node: process.versions.node,
    ...(await withPostgres(servers.postgresUrl, describePostgres)),
    ...(await withRedis(servers.redisUrl, describeRedis)),
    Packages: await listPackages(),
  }
}

async function describePostgres(sql: Sql) {
  const [server] = await sql<{ version: string }[]>`select current_setting('server_version') as version`
  const settings = await sql<{ name: string; value: string }[]>`
    select name, current_setting(name) as value from unnest(${postgresSettings}::text[]) as name`
  return { Postgres: `${server?.version}: ${settings.map(({ name, value }) => `${name} ${value}`).join(', ')}` }
}

async function describeRedis(redis: Redis) {
  const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1]
  const settings = await Promise.all(redisSettings.map((name) => redis.config('GET', name)))
  const told = settings.map((pair) => pair.map((word) => word || 'off').join(' '))
  return { Redis: `${version}: ${told.join(', ')}` }
}

/** Versions are pinned exactly, so what is asked for is what runs. */
async function listPackages(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8')
  const { dependencies } = JSON.parse(text) as { dependencies: Record<string, string> }
  return Object.entries(dependencies)
    .filter(([name]) => !name.startsWith('@jobyard/'))
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')
}

async function countSyncs(folder: string): Promise<string> {
  const path = join(folder, 'disk-test')
  const file = await open(path, 'w')
  const page = Buffer.alloc(8_192)
  const startedAt = performance.now()
  let count = 0
  for (; performance.now() - startedAt < syncingMs; count++) {
    await file.write(page, 0, page.length, 0)
    await file.datasync()
  }
  await file.close()
  await rm(path)
  return Math.round((count * 1_000) / syncingMs).toLocaleString('en-US')
}
