import { fileURLToPath } from 'node:url'
import { resolve } from 'node:path'
import { readVariable } from '@jobyard/queues/configuration'
import { migrateAll } from '@jobyard/queues/migrate'
import { Child } from './child.ts'
import { logFile, openHome, type Home } from './home.ts'
import { KeptPostgres } from './kept-postgres.ts'

export interface InstallationOptions {
  readonly environment: NodeJS.ProcessEnv
  /** Told what is going on, one line at a time. */
  readonly onProgress: (line: string) => void
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
 * @throws Error with one clear line when a part cannot be started; then nothing is left running.
 */
export async function startInstallation({ environment, onProgress }: InstallationOptions): Promise<Installation> {
  const home = await openHome(resolve(environment.JOBYARD_HOME || '.jobyard'), environment)
  const givenDatabase = readVariable('DATABASE_URL', environment)
  const redisUrl = readVariable('REDIS_URL', environment)
  const postgres = givenDatabase ? undefined : await startPostgres(home, onProgress)
  const databaseUrl = postgres?.url ?? String(givenDatabase)
  try {
    onProgress('Bringing the schema up to date')
    await migrateAll(databaseUrl, redisUrl)
    const env = {
      ...environment,
      DATABASE_URL: databaseUrl,
      JOBYARD_ADMIN_KEY: home.adminKey,
      JOBYARD_SECRET: home.secret,
    }
    const child = async (name: 'api' | 'workers') =>
      new Child({
        name,
        file: fileURLToPath(new URL(`../${name}/main.ts`, import.meta.url)),
        env,
        logFile: await logFile(home, name),
        onDeath: (how, ms) =>
          onProgress(`${name} ended (${how}); starting it again in ${ms / 1_000} s. Log: ${home.folder}/${name}.log`),
      })
    const api = await child('api')
    const workers = await child('workers')
    onProgress('Starting the API and the workers')
    const url = await startBoth(api, workers)
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

async function startPostgres(home: Home, onProgress: (line: string) => void): Promise<KeptPostgres> {
  onProgress('Starting Postgres')
  return KeptPostgres.start({ home: home.folder, onProgress })
}

async function startBoth(api: Child, workers: Child): Promise<string> {
  const [report, working] = await Promise.allSettled([api.start(), workers.start()])
  if (report.status === 'fulfilled' && working.status === 'fulfilled')
    return (report.value as { listening: string }).listening
  await Promise.all([api.stop(), workers.stop()])
  throw report.status === 'rejected' ? report.reason : (working as PromiseRejectedResult).reason
}
