import { migrateAll } from '@jobyard/queues/migrate'
import type { TestProject } from 'vitest/node'
import { createTemplate, startTestPostgres } from './postgres.ts'
import { chromium, findOrInstall, redisServer } from './programs.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** For `createDatabase` of testing/postgres.ts. */
    postgresAdminUrl: string
  }
}

/**
 * Starts one Postgres, with the migrated template, for the whole run of the tests. Who needs a Redis starts one of its own.
 * DATABASE_URL and REDIS_URL of the environment are not looked at: no test may touch a server that is not its own.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await installWhatTestsRun()
  const postgres = await startPostgres()
  project.provide('postgresAdminUrl', postgres.url)
  return () => postgres.stop()
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
