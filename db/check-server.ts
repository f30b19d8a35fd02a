import { checkSchema } from './check-schema.ts'
import type { Sql } from './connect.ts'

/** Oldest major version of Postgres that the statements are tested on. */
const oldestMajorVersion = 15

/** What a server must be for a 2xx to be worth anything. */
export interface ServerSettings {
  readonly versionNumber: number
  readonly standby: boolean
  readonly fsync: string
  readonly fullPageWrites: string
  readonly synchronousCommit: string
  readonly isolation: string
}

/** Reads the settings that {@link serverProblems} judges. */
export async function readServerSettings(sql: Sql): Promise<ServerSettings> {
  const [settings] = await sql<ServerSettings[]>`
    select current_setting('server_version_num')::int as version_number, pg_is_in_recovery() as standby,
      current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
      current_setting('synchronous_commit') as synchronous_commit,
      current_setting('default_transaction_isolation') as isolation`
  return settings as ServerSettings
}

/** @returns one sentence per setting that would break the promise, each with its remedy; empty when all is well. */
export function serverProblems(settings: ServerSettings): string[] {
  const problems: [boolean, string][] = [
    [
      settings.versionNumber < oldestMajorVersion * 10_000,
      `Postgres ${Math.floor(settings.versionNumber / 10_000)} is too old: use ${oldestMajorVersion} or newer.`,
    ],
    [settings.standby, 'This Postgres is a standby and cannot write: point DATABASE_URL at the primary.'],
    [settings.fsync !== 'on', 'fsync is off, so a crash of the machine loses accepted jobs: set fsync = on.'],
    [
      settings.fullPageWrites !== 'on',
      'full_page_writes is off, so a crash may corrupt the record: set full_page_writes = on.',
    ],
    [
      settings.synchronousCommit === 'off',
      'synchronous_commit is off, so a crash loses accepted jobs: set synchronous_commit = on.',
    ],
    [
      settings.isolation !== 'read committed',
      `The default isolation is ${settings.isolation}: set default_transaction_isolation = 'read committed'.`,
    ],
  ]
  return problems.filter(([wrong]) => wrong).map(([, sentence]) => sentence)
}

/**
 * Refuses to go on with a server that would not keep the promise, or whose schema is too old.
 *
 * @throws Error with all the problems, one a line.
 */
export async function checkServer(sql: Sql): Promise<void> {
  const problems = serverProblems(await readServerSettings(sql))
  if (problems.length > 0) throw new Error(problems.join('\n'))
  await checkSchema(sql)
}
