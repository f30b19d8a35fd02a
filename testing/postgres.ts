import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errorCode } from '@jobyard/db/connect'
import { startEmbeddedPostgres } from '@jobyard/db/embedded'
import { lockHome } from '@jobyard/db/embedded-lock'
import { findPostmaster, stopServer } from '@jobyard/db/embedded-server'
import postgres from 'postgres'

export interface TestPostgres {
  /** Superuser's postgres://… of the database `postgres`. */
  url: string
  /** Ends the server and deletes its data; further calls wait for the same end. */
  stop(): Promise<void>
}

export interface TestDatabase {
  url: string
  /**
   * Deletes the database.
   * @throws if connections to it are still open after five seconds: whoever opened them forgot to close them. It is deleted all the same.
   */
  drop(): Promise<void>
}

const templateName = 'template_jobyard'
const homePrefix = 'jobyard-test-'
const neededBytes = 2 * 1024 ** 3

/**
 * Starts a Postgres for one run of the tests, in memory where there is enough. It is killed and deleted when this process
 * exits; what a killed run left behind is cleared away by the next one.
 */
export async function startTestPostgres(): Promise<TestPostgres> {
  const parent = await chooseParent()
  await sweepAbandonedHomes(parent)
  const home = await mkdtemp(join(parent, homePrefix))
  await chmod(home, 0o711)
  const server = await startEmbeddedPostgres({
    home,
    initdbArgs: ['--no-sync'],
    settings: { max_connections: '400', shared_preload_libraries: 'pg_stat_statements' },
  }).catch(async (error: unknown) => {
    await rm(home, { recursive: true, force: true })
    throw error
  })
  const postmaster = await findPostmaster(server.dataFolder)
  const onExit = () => killAndDelete(postmaster?.pid, home)
  process.once('exit', onExit)
  let stopped: Promise<void> | undefined
  const stop = async () => {
    await server.stop()
    await rm(home, { recursive: true, force: true })
    process.off('exit', onExit)
  }
  return { url: server.url, stop: () => (stopped ??= stop()) }
}

/**
 * Makes the database that `createDatabase` copies, once per server.
 * @param migrate brings the empty database at the given URL up to date and leaves no connection open.
 */
export async function createTemplate(adminUrl: string, migrate: (databaseUrl: string) => Promise<void>): Promise<void> {
  await withAdmin(adminUrl, async (admin) => {
    await admin.unsafe(`create database ${templateName}`)
    await migrate(databaseUrl(adminUrl, templateName))
    await admin.unsafe(`alter database ${templateName} with is_template true allow_connections false`)
  })
}

/** Makes a database of its own for a test file: a copy of the template, about 20 ms. */
export async function createDatabase(adminUrl: string): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await withAdmin(adminUrl, (admin) =>
    admin.unsafe(`create database ${name} template ${templateName} strategy file_copy`),
  )
  return { url: databaseUrl(adminUrl, name), drop: () => withAdmin(adminUrl, (admin) => dropDatabase(admin, name)) }
}

async function dropDatabase(admin: postgres.Sql, name: string): Promise<void> {
  try {
    await admin.unsafe(`drop database if exists ${name}`)
  } catch (error) {
    const objectInUse = '55006'
    if (errorCode(error) !== objectInUse) throw error
    const open = await admin`select application_name, state, query from pg_stat_activity where datname = ${name}`
    await admin.unsafe(`drop database if exists ${name} with (force)`)
    throw new Error(`${open.length} connection(s) to the test's database were left open: ${JSON.stringify(open)}`, {
      cause: error,
    })
  }
}

async function withAdmin(adminUrl: string, work: (admin: postgres.Sql) => Promise<unknown>): Promise<void> {
  const admin = postgres(adminUrl, { max: 1, onnotice: () => {} })
  try {
    await work(admin)
  } finally {
    await admin.end({ timeout: 5 })
  }
}

function databaseUrl(adminUrl: string, name: string): string {
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  return url.href
}

async function chooseParent(): Promise<string> {
  const memory = '/dev/shm'
  const free = await statfs(memory).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  )
  return free > neededBytes ? memory : tmpdir()
}

/** Ends and deletes what runs that were killed left behind; a home whose lock is taken belongs to a run under way. */
async function sweepAbandonedHomes(parent: string): Promise<void> {
  const names = (await readdir(parent)).filter((name) => name.startsWith(homePrefix))
  for (const name of names) await removeIfAbandoned(join(parent, name)).catch(() => {})
}

async function removeIfAbandoned(home: string): Promise<void> {
  await stat(join(home, 'postgres.lock'))
  const lock = lockHome(home)
  try {
    await stopServer(join(home, 'postgres'))
    await rm(home, { recursive: true, force: true })
  } finally {
    lock.release()
  }
}

function killAndDelete(pid: number | undefined, home: string): void {
  try {
    if (pid) process.kill(pid, 'SIGQUIT')
  } catch {
    // It is gone already.
  }
  rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
}
