import { migrate } from '@jobyard/db/migrate'
import { openCarrier } from './carrier.ts'

/**
 * Brings the record's schema up to date, and the carrier's where it has one. Safe to call from several processes at once.
 *
 * @throws the driver's error when a server cannot be reached or a migration fails.
 */
export async function migrateAll(databaseUrl: string, redisUrl?: string): Promise<void> {
  await migrate(databaseUrl)
  const carrier = openCarrier({ databaseUrl, redisUrl, onError: () => {} })
  try {
    await carrier.migrate()
  } finally {
    await carrier.close()
  }
}
