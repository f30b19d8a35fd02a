import { migrateAll } from '@jobyard/queues/migrate'
import { withPostgres } from '../servers.ts'
import type { ProducerTask } from './producer.ts'
import { intakes, type Place, type Rival } from './rivals.ts'
import { startService, type Service } from './service.ts'

/** A service that takes jobs over HTTP: `POST /v1/jobs` and `POST /v1/jobs/batch`. */
export type HttpService = Service<{ readonly listening: string }>

export type CarrierKind = 'redis' | 'postgres'

export const adminKey = 'the-key-of-the-benchmark-of-36-chars'
/** `JOBYARD_SECRET` of every process of ours. */
export const installationSecret = 'the-secret-of-the-benchmark-of-40-letters'
const producer = new URL('producer.ts', import.meta.url)
const api = new URL('../../api/main.ts', import.meta.url)
const workers = new URL('../../workers/main.ts', import.meta.url)

/** Headers of every request to every contestant; only ours looks at the key. */
export const headers = { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' }

/** Starts the API as it is run in production, with authentication and everything else that is on by default. @param more variables of the environment. */
export async function startJobyardApi(
  place: Place,
  carrier: CarrierKind,
  more: Readonly<Record<string, string>> = {},
): Promise<HttpService> {
  const redisUrl = carrier === 'redis' ? place.redisUrl : undefined
  await migrateAll(place.databaseUrl, redisUrl)
  const env = {
    DATABASE_URL: place.databaseUrl,
    ...(redisUrl && { REDIS_URL: redisUrl }),
    JOBYARD_ADMIN_KEY: adminKey,
    JOBYARD_SECRET: installationSecret,
    PORT: '0',
    LOG_LEVEL: 'warn',
    ...more,
  }
  return startService(api, { env })
}

/** Starts the workers as they are run in production, with every queue. @param more variables of the environment. */
export function startProductionWorkers(
  { databaseUrl, redisUrl }: Place,
  carrier: CarrierKind,
  more: Readonly<Record<string, string>> = {},
): Promise<Service<unknown>> {
  const env = {
    DATABASE_URL: databaseUrl,
    ...(carrier === 'redis' && { REDIS_URL: redisUrl }),
    JOBYARD_SECRET: installationSecret,
    LOG_LEVEL: 'warn',
    ...more,
  }
  return startService(workers, { env })
}

/** Starts a service around a rival's queue, or around nothing. */
export function startProducer(place: Place, rival?: Rival): Promise<HttpService> {
  const task: ProducerTask = { place, rival }
  return startService(producer, { task })
}

/** Counts the jobs that the record of the platform holds and that nobody has begun. */
export async function countQueued({ databaseUrl }: Place): Promise<number> {
  const rows = await withPostgres(
    databaseUrl,
    (sql) => sql<{ count: number }[]>`select count(*)::int as count from jobs where status = 'queued'`,
  )
  return rows[0]?.count ?? 0
}

/** Counts the jobs that wait in a rival's queue. */
export async function countWaiting(place: Place, rival: Rival): Promise<number> {
  const intake = await intakes[rival](place)
  try {
    return await intake.waiting()
  } finally {
    await intake.close()
  }
}
