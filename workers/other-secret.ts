import type { Sql } from '@jobyard/db/connect'
import { readNewestSecret } from '@jobyard/db/endpoints'
import type { SecretBox } from '@jobyard/queues/secret-box'
import type { Logger } from 'pino'

/** Tells the log when endpoints were made under another JOBYARD_SECRET: all but webhooks goes on, so that it may be noticed by nobody. */
export async function tellOfOtherSecret(sql: Sql, secrets: SecretBox, log: Logger): Promise<void> {
  const newest = await readNewestSecret(sql)
  try {
    if (newest) secrets.open(newest.secret, newest.id)
  } catch (error) {
    log.error({ err: error }, 'No webhook can be signed, and they wait. Bring back the JOBYARD_SECRET of before')
  }
}
