import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../../testing/record.ts'
import { scheduleDefinition } from './definition.ts'
import { putSchedule } from './put-schedule.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
beforeEach(() => record.sql`truncate schedules, occurrences`)
afterAll(() => record.close())

const run = {
  type: 'echo',
  queue: 'default',
  input: '{}',
  priority: 0,
  tags: [],
  metadata: '{}',
  maxAttempts: 1,
  timeoutMs: 1_000,
}
const put = async (fields: object) =>
  putSchedule(record.sql, {
    tenant: 'default',
    name: 'nightly',
    source: 'api',
    definition: scheduleDefinition.parse({ type: 'echo', input: {}, ...fields }),
    run,
  })

it('A schedule that is put again goes on where it was, also where only its jitter is another', async () => {
  const first = await put({ everyMs: 3_600_000 })
  expect(first?.change).toBe('created')
  expect(await put({ everyMs: 3_600_000 })).toEqual({ change: 'unchanged', row: first?.row })
  const jittered = await put({ everyMs: 3_600_000, jitterMs: 60_000 })
  expect(jittered).toMatchObject({ change: 'changed', row: { nextAt: first?.row.nextAt } })
  expect(jittered!.row.dueAt!.getTime()).toBeGreaterThan(first!.row.dueAt!.getTime())
})

it('Of many who put a schedule at the same time one makes it, and all find it made', async () => {
  const put8 = Array.from({ length: 4 }, (_, n) => put({ cron: `${n} * * * *` }))
  const changes = (await Promise.all(put8)).map((upserted) => upserted?.change)
  expect(changes.filter((change) => change === 'created')).toHaveLength(1)
  expect(changes.filter((change) => change === 'changed')).toHaveLength(3)
})

it('A schedule that was set aside is tried again when it is put again', async () => {
  await put({ everyMs: 60_000 })
  await record.sql`update schedules set due_at = now() + interval '1 hour'`
  const { row } = (await put({ everyMs: 60_000 }))!
  expect(row.dueAt).toEqual(row.nextAt)
})
