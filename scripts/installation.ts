import { fileURLToPath } from 'node:url'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode } from '@jobyard/db/connect'
import { isAway, isFull } from '@jobyard/db/trouble'
import { readVariable } from '@jobyard/queues/configuration'
import { migrateAll } from '@jobyard/queues/migrate'
import { Child } from './child.ts'
import { logFile, openHome, type Home } from './home.ts'
import { KeptPostgres } from './kept-postgres.ts'

export interface InstallationOptions {
  readonly environment: NodeJS.ProcessEnv
  /** Told what is going on, one line at a time. */
  readonly onProgress: (line: string) => void
  /** Breaks the start off. */
  readonly signal?: AbortSignal
}

/** A whole platform on this machine: Postgres if none was given, one API and one worker process. */
export interface Installation {
  readonly home: Home
  /** `http://host:port` of the API. */
  readonly url: string
  readonly databaseUrl: string
  readonly carrier: 'Redis' | 'Postgres'
  readonly embedded: boolean
  readonly logFiles: readonly string[]
  readonly workers: Child
  readonly api: Child
  /** Drains and stops everything, the database last. */
  stop(): Promise<void>
  /** Makes a stop under way wait for nothing any more. */
  hurry(): void
}

/**
 * Starts a platform as `npm start` does.
 *
 * @throws Error with one clear line when a part cannot be started, or the signal's reason when it is broken off; then nothing
 * is left running.
 */
export async function startInstallation(options: InstallationOptions): Promise<Installation> {
  const { environment, onProgress, signal = new AbortController().signal } = options
  const home = await openHome(resolve(environment.JOBYARD_HOME || '.jobyard'), environment)
  const givenDatabase = readVariable('DATABASE_URL', environment)
  const redisUrl = readVariable('REDIS_URL', environment)
  signal.throwIfAborted()
  const postgres = givenDatabase ? undefined : await startPostgres(home, onProgress)
  const databaseUrl = postgres?.url ?? String(givenDatabase)
  try {
    signal.throwIfAborted()
    onProgress('Bringing the schema up to date')
    await unlessBrokenOff(signal, prepareSchema(databaseUrl, redisUrl, onProgress))
    const env = {
      ...environment,
      DATABASE_URL: databaseUrl,
      JOBYARD_ADMIN_KEY: home.adminKey,
      JOBYARD_SECRET: home.secret,
    }
    const child = async (name: 'api' | 'workers') => openChild(name, { home, env, onProgress })
    const api = await child('api')
    const workers = await child('workers')
    signal.throwIfAborted()
    onProgress('Starting the API and the workers')
    const url = await startBoth(api, workers, signal)
    return {
      home,
      url,
      databaseUrl,
      carrier: redisUrl ? 'Redis' : 'Postgres',
      embedded: postgres !== undefined,
      logFiles: ['api', 'workers', ...(postgres ? ['postgres'] : [])].map((name) => `${home.folder}/${name}.log`),
      api,
      workers,
      stop: async () => {
        await Promise.all([api.stop(), workers.stop()])
        await postgres?.stop()
      },
      hurry: () => [api, workers].forEach((each) => each.signal('SIGTERM')),
    }
  } catch (error) {
    await postgres?.stop()
    throw error
  }
}

/** Time between two attempts to prepare the schema of a Postgres that has no room, in milliseconds. */
const fullRetryMs = 3_000

async function startPostgres(home: Home, onProgress: (line: string) => void): Promise<KeptPostgres> {
  onProgress('Starting Postgres')
  return KeptPostgres.start({ home: home.folder, onProgress })
}

/** Waits for a Postgres that has no room, but not for one that is away: the address may be wrong. */
async function prepareSchema(
  databaseUrl: string,
  redisUrl: string | undefined,
  onProgress: InstallationOptions['onProgress'],
): Promise<void> {
  const who = `Postgres at ${new URL(databaseUrl).host} (DATABASE_URL)`
  for (;;) {
    try {
      return await migrateAll(databaseUrl, redisUrl)
    } catch (error) {
      if (isAway(error)) throw new Error(`${who} does not answer: ${errorCode(error)}`, { cause: error })
      if (!isFull(error)) throw error
      onProgress(`${who} has no room: ${(error as Error).message}. Trying again every ${fullRetryMs / 1_000} s`)
    }
    await delay(fullRetryMs)
  }
}

interface ChildPlace {
  readonly home: Home
  readonly env: NodeJS.ProcessEnv
  readonly onProgress: (line: string) => void
}

async function openChild(name: 'api' | 'workers', { home, env, onProgress }: ChildPlace): Promise<Child> {
  return new Child({
    name,
    file: fileURLToPath(new URL(`../${name}/main.ts`, import.meta.url)),
    env,
    logFile: await logFile(home, name),
    onWaiting: (line) => onProgress(`${name}: ${line}`),
    onDeath: (how, ms) =>
      onProgress(`${name} ended (${how}); starting it again in ${ms / 1_000} s. Log: ${home.folder}/${name}.log`),
  })
}

/** @returns the API's address. @throws the reason of the first that fails; then both are stopped. */
async function startBoth(api: Child, workers: Child, signal: AbortSignal): Promise<string> {
  try {
    const [report] = await unlessBrokenOff(signal, Promise.all([api.start(), workers.start()]))
    return (report as { listening: string }).listening
  } catch (error) {
    await Promise.all([api.stop(), workers.stop()])
    throw error
  }
}

/** Waits for a promise, but no longer than until the signal; what was begun may still happen. */
async function unlessBrokenOff<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const { promise: brokenOff, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort)
  try {
    return await Promise.race([promise, brokenOff])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
