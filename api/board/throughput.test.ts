import { claimJobs } from '@jobyard/db/claim'
import { settleAttempts } from '@jobyard/db/settle'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../../testing/record.ts'
import { chartMinutes, Throughput } from './throughput.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

async function completeMinutesAgo(minutes: number): Promise<string> {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  await claimJobs(record.sql, worker, [id])
  await settleAttempts(record.sql, [{ id, epoch: 1, outcome: 'completed', status: 'completed', output: '1' }])
  await record.sql`update endings set ended_at = ended_at - ${minutes}::int * interval '1 minute' where ${id} = any(job_ids)`
  return id
}

it('counts each past minute once, and the latest ones anew', async () => {
  const [old] = [await completeMinutesAgo(30), await completeMinutesAgo(0)]
  const throughput = new Throughput(record.sql, 'default', 'default')
  const first = await throughput.read('completed')
  expect(first).toHaveLength(chartMinutes)
  expect(first.reduce((sum, count) => sum + count)).toBe(2)
  expect(first.slice(29, 32).reduce((sum, count) => sum + count)).toBe(1)

  await record.sql`delete from jobs where id = ${old}`
  await completeMinutesAgo(0)
  expect((await throughput.read('completed')).reduce((sum, count) => sum + count)).toBe(3)
  expect((await throughput.read('failed')).every((count) => count === 0)).toBe(true)
})
