import { migrateAll } from '@jobyard/queues/migrate'
import type { TestProject } from 'vitest/node'
import { createTemplate, startTestPostgres } from './postgres.ts'
import { chromium, findOrInstall, redisServer } from './programs.ts'
import { startTestRedis } from './redis.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** For `createDatabase` of testing/postgres.ts. */
    postgresAdminUrl: string
    /** One Redis for the whole run: use a key prefix of your own, and start another one to kill or flush it. */
    redisUrl: string
  }
}

/**
 * Starts one Postgres, with the migrated template, and one Redis for the whole run of the tests.
 * DATABASE_URL and REDIS_URL of the environment are not looked at: no test may touch a server that is not its own.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await installWhatTestsRun()
  const [postgres, redis] = await Promise.allSettled([startPostgres(), startTestRedis()])
  const teardown = async () => {
    if (postgres.status === 'fulfilled') await postgres.value.stop()
    if (redis.status === 'fulfilled') await redis.value.stop()
  }
  const failures = [postgres, redis].flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
  if (postgres.status === 'rejected' || redis.status === 'rejected') {
    await teardown()
    throw new AggregateError(failures, failures.join('\n'))
  }
  project.provide('postgresAdminUrl', postgres.value.url)
  project.provide('redisUrl', redis.value.url)
  return teardown
}

/** One after the other: apt-get runs alone. A missing browser fails its own test, a missing Redis all of them. */
async function installWhatTestsRun(): Promise<void> {
  await findOrInstall(redisServer)
  await findOrInstall(chromium).catch(() => {})
}

async function startPostgres() {
  const server = await startTestPostgres()
  try {
    await createTemplate(server.url, (url) => migrateAll(url))
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}
