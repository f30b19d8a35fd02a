import { newId } from '@jobyard/db/ids'
import { connect } from '@jobyard/db/connect'
import { expect, inject, it } from 'vitest'
import { createDatabase } from '../testing/postgres.ts'
import { openCarrier } from './carrier.ts'

const year = 366 * 86_400_000

it('Frees the tickets of a dead process whose clock was a year ahead', async () => {
  const database = await createDatabase(inject('postgresAdminUrl'))
  const db = connect(database.url, { applicationName: 'test' })
  const carrier = openCarrier({ databaseUrl: database.url, onError: () => {} })
  await carrier.migrate()
  const id = newId()
  await carrier.add('q', [{ id, data: { ids: [] }, priority: 0 }])
  await carrier.setPaused('q', true)
  /** What BullMQ does by the clock of a process. */
  const lookForStalled = (now: number) =>
    db.sql`select from bullmq.move_stalled_jobs_to_wait('q', 1000, ${now}::bigint, 5000)`
  await lookForStalled(Date.now() + year)
  await db.sql`update bullmq.job set state = 'active', lock_token = 'dead', locked_until_ms = ${Date.now() + year}::bigint`
  const minute = 60_000
  const lookTwice = async () => {
    for (const later of [2, 3]) await lookForStalled(Date.now() + later * minute)
    const [job] = await db.sql<{ state: string }[]>`select state from bullmq.job where id = ${id}`
    return job?.state
  }
  expect(await lookTwice()).toBe('active')
  await carrier.forgetWrongClocks()
  expect(await lookTwice()).toBe('waiting')
  expect(await carrier.isPaused('q')).toBe(true)
  await carrier.close()
  await db.close()
  await database.drop()
})
