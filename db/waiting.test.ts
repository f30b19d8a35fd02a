import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { claimJobs } from './claim.ts'
import { settleAttempts } from './settle.ts'
import { countWaiting } from './waiting.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

it('counts jobs that are queued, scheduled or retried, and neither internal ones nor those that run or have ended', async () => {
  const tenant = 'a'
  const worker = await record.addWorker()
  const [, running, completed, retrying] = [
    await record.addJob({ tenant }),
    await record.addJob({ tenant }),
    await record.addJob({ tenant }),
    await record.addJob({ tenant }),
  ]
  await record.addJob({ tenant, delayMs: 60_000 })
  await record.addJob({ tenant, internal: true })
  await record.addJob({ tenant: 'b', input: JSON.stringify('x'.repeat(1_000)) })
  const { jobs } = await claimJobs(record.sql, worker, [running, completed, retrying])
  const epoch = jobs[0]!.epoch
  await settleAttempts(record.sql, [
    { id: completed, epoch, outcome: 'completed', status: 'completed', output: '1' },
    {
      id: retrying,
      epoch,
      outcome: 'failed',
      status: 'retrying',
      delayMs: 60_000,
      error: { reason: 'x', message: 'x' },
    },
  ])
  const counted = await countWaiting(record.sql, ['a', 'b', '{"c"}'])
  expect(counted.toSorted((one, other) => (one.tenant < other.tenant ? -1 : 1))).toEqual([
    { tenant: 'a', jobs: 3, bytes: expect.any(Number) },
    { tenant: 'b', jobs: 1, bytes: expect.any(Number) },
  ])
  const [b] = await countWaiting(record.sql, ['b'])
  expect(b?.bytes).toBeGreaterThanOrEqual(1_002)
  expect(b?.bytes).toBeLessThan(1_100)
  expect(await countWaiting(record.sql, ['c'])).toEqual([])
})
