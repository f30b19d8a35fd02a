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
    const message =
      'JOBYARD_SECRET does not open the secret of the newest endpoint. Its webhooks wait, and maybe those of all: bring back the value of before'
    log.error({ err: error, endpointId: newest?.id }, message)
  }
}
