import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { claimJobs } from './claim.ts'
import { endIfIdle, lockRuns } from './lock-runs.ts'
import { handBack } from './requeue.ts'
import { settleAttempts } from './settle.ts'

let record: TestRecord
let worker: string
beforeAll(async () => {
  record = await openRecord()
  worker = await record.addWorker()
})
afterAll(() => record.close())

async function claimed(count: number): Promise<{ id: string; epoch: number }[]> {
  const ids = await Promise.all(Array.from({ length: count }, () => record.addJob()))
  await claimJobs(record.sql, worker, ids)
  return ids.map((id) => ({ id, epoch: 1 }))
}

it('Locks the runs that are still owned, until the transaction ends', async () => {
  const runs = await claimed(3)
  const [own, settled, claimedAgain] = runs
  await settleAttempts(record.sql, [{ ...settled!, outcome: 'completed', status: 'completed', output: '1' }])
  await handBack(record.sql, worker, [claimedAgain!])
  await claimJobs(record.sql, worker, [claimedAgain!.id])
  const free = async () => {
    const rows = await record.sql<{ id: string }[]>`
      select id from jobs where id = any(${runs.map(({ id }) => id)}::uuid[]) for update skip locked`
    return rows.map(({ id }) => id)
  }
  await record.db.transactions.run(async (sql) => {
    expect([...(await lockRuns(sql, runs, 10_000))]).toEqual([own!.id])
    expect((await free()).toSorted()).toEqual([settled!.id, claimedAgain!.id].toSorted())
  })
  expect(await free()).toHaveLength(3)
})

it('Tells the error that came first in the transaction, whichever is heard of first', async () => {
  const later = new Error('current transaction is aborted')
  const refused = record.db.transactions.run(async (sql) => endIfIdle(sql, -5, () => Promise.reject(later)))
  await expect(refused).rejects.toMatchObject({ code: '22023' })
  const unstorable = record.db.transactions.run(async (sql) => endIfIdle(sql, 5_000, () => Promise.reject(later)))
  await expect(unstorable).rejects.toBe(later)
})

it('Does not keep the locks of a transaction that stands still', async () => {
  const [run] = await claimed(1)
  const stuck = record.db.transactions.run(async (sql) => {
    await lockRuns(sql, [run!], 50)
    await record.sql`select from jobs where id = ${run!.id} for update`
  })
  await expect(stuck).rejects.toThrow('connection was lost')
})
