import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { connect, type Database } from '@jobyard/db/connect'
import { inject } from 'vitest'
import { adminKey, type CarrierKind } from './platform.ts'
import { createDatabase } from './postgres.ts'
import { startTestRedis, type TestRedis } from './redis.ts'

/** One process of the platform. */
export interface PlatformProcess {
  readonly process: ChildProcess
  /** `http://host:port` of an API, undefined of workers. */
  readonly url: string | undefined
  /** Kills it with −9 and waits for its end. */
  kill(): Promise<void>
  /** Asks it to stop. @returns its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** A platform of real processes on a database and a carrier of its own. */
export interface ProcessPlatform {
  readonly db: Database
  readonly databaseUrl: string
  readonly redis: TestRedis | undefined
  /** @param file what Node runs instead of the part's own `main.ts`, seen from this folder. */
  start(part: 'api' | 'workers', environment?: Record<string, string>, file?: string): Promise<PlatformProcess>
  /** Kills what is left, and drops the database. */
  stop(): Promise<void>
}

/** Prepares a platform; nothing runs until `start`. */
export async function openProcessPlatform(kind: CarrierKind): Promise<ProcessPlatform> {
  const database = await createDatabase(inject('postgresAdminUrl'))
  const redis = kind === 'redis' ? await startTestRedis() : undefined
  const db = connect(database.url, { applicationName: 'test' })
  const running = new Set<PlatformProcess>()
  const environment = {
    PATH: process.env.PATH ?? '',
    DATABASE_URL: database.url,
    ...(redis && { REDIS_URL: redis.url }),
    JOBYARD_ADMIN_KEY: adminKey,
    JOBYARD_SECRET: adminKey,
    PORT: '0',
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'fatal',
  }
  return {
    db,
    databaseUrl: database.url,
    redis,
    start: async (part, more = {}, file = `../${part}/main.ts`) => {
      const started = await startProcess(part, { ...environment, ...more }, file)
      running.add(started)
      return started
    },
    stop: async () => {
      await Promise.all([...running].map((each) => each.kill()))
      await db.close()
      await redis?.stop()
      await database.drop().catch(() => {})
    },
  }
}

async function startProcess(
  part: 'api' | 'workers',
  env: Record<string, string>,
  file: string,
): Promise<PlatformProcess> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), { env, execArgv: [] })
  const died = once(child, 'exit').then(([code]) => {
    throw new Error(`${part} ended with ${String(code)} before it worked`)
  })
  const [report] = (await Promise.race([once(child, 'message'), died])) as [{ listening?: string }]
  died.catch(() => {})
  const exited = once(child, 'exit')
  return {
    process: child,
    url: report.listening,
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await exited
    },
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      const [code] = (await exited) as [number | null]
      return code
    },
  }
}

/** Calls an API process with the admin key. The body is `any`: tests look at parts of many shapes. */
export async function callApi(
  url: string,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const answer = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  // Each call has its own shape, and the tests say what they expect of it.
  return { status: answer.status, body: (await answer.json()) as any } // whatever the route answers: tests look into it
}
