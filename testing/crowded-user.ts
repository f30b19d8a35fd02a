import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import { onTestFinished, type TestContext } from 'vitest'

/** A user of Postgres who gets no connection, as if there were too many. */
export interface CrowdedUser {
  /** The database's URL, for this user. */
  readonly url: string
  /** From now on there is room. */
  readonly relieve: () => Promise<void>
}

/** Makes a user who ends with the test. @param onEnd of a test that runs beside others its own `onTestFinished`. */
export async function createCrowdedUser(
  databaseUrl: string,
  onEnd: TestContext['onTestFinished'] = onTestFinished,
): Promise<CrowdedUser> {
  const admin = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  const name = `crowded_${randomUUID().replaceAll('-', '')}`
  await admin.unsafe(`create role ${name} login password '${name}' connection limit 0`)
  onEnd(async () => {
    await admin.unsafe(`drop role ${name}`)
    await admin.end()
  })
  const url = new URL(databaseUrl)
  url.username = url.password = name
  return { url: url.href, relieve: async () => void (await admin.unsafe(`alter role ${name} connection limit -1`)) }
}
