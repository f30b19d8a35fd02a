import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import { unwrapped } from './trouble.ts'

const migrationsFolder = fileURLToPath(new URL('./migrations', import.meta.url))
/** Key of the advisory lock that lets one process migrate at a time: "job" in ASCII. */
const migrationLock = 0x6a_6f_62

/**
 * Brings the schema of a database up to date; does nothing when it already is. Safe to call from several processes at once.
 *
 * @throws the driver's error when Postgres cannot be reached or a migration fails; a failed migration leaves no trace.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const client = postgres(databaseUrl, {
    max: 1,
    connect_timeout: 10,
    onnotice: () => {},
    connection: { application_name: 'jobyard-migrate' },
  })
  try {
    await client`select pg_advisory_lock(${migrationLock})`
    await applyMigrations(drizzle(client), {
      migrationsFolder,
      migrationsSchema: 'public',
      migrationsTable: 'schema_migrations',
    })
  } catch (error) {
    throw unwrapped(error)
  } finally {
    await client.end({ timeout: 5 })
  }
}
