import type { Database } from '@jobyard/db/connect'
import { insertJobs } from '@jobyard/db/intake'
import type { TicketSender } from '@jobyard/queues/tickets'
import { newJob, openRecord, type TestRecord } from '@jobyard/testing/record'
import { ConnectionLostError } from '@jobyard/db/transaction'
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { Redrives } from './redrives.ts'

const lost = new ConnectionLostError('lost')
let record: TestRecord
let failed: string[]
beforeEach(async () => {
  record = await openRecord()
  onTestFinished(() => record.close())
  const jobs = Array.from({ length: 150 }, () => newJob({ metadata: '{"customer":42}' }))
  await insertJobs(record.sql, jobs)
  failed = jobs.map(({ id }) => id).toReversed()
  for (const id of failed) await record.end(id, 'failed', 0)
})

type Run = (transactions: Database['transactions'], ...args: Parameters<Database['transactions']['run']>) => unknown

/** @param run how a transaction goes. */
function redrivesWhere(run: Run): Redrives {
  const { transactions } = record.db
  const changed = new Proxy(transactions, {
    get:
      () =>
      (...args: Parameters<Database['transactions']['run']>) =>
        run(transactions, ...args),
  })
  return new Redrives({ ...record.db, transactions: changed }, { send: async () => {} } as unknown as TicketSender)
}

it('What was made before Postgres failed is told, and the next call goes on there', async () => {
  let transactions = 0
  const redrives = redrivesWhere((pool, ...args) => (++transactions === 1 ? pool.run(...args) : Promise.reject(lost)))
  const first = await redrives.redrive('default', { status: 'failed' }, 150)
  expect(first).toMatchObject({ matched: 150, next: failed[99] })
  expect(first.redriven.map(({ id }) => id)).toEqual(failed.slice(0, 100))
  const whole = redrivesWhere((pool, ...args) => pool.run(...args))
  const second = await whole.redrive('default', { status: 'failed', before: first.next }, 150)
  expect(second.redriven.map(({ id }) => id)).toEqual(failed.slice(100))
})

it('Where nothing was made the call fails, and so it does with what is no trouble of Postgres', async () => {
  const filter = { status: 'failed' } as const
  await expect(redrivesWhere(() => Promise.reject(lost)).redrive('default', filter, 150)).rejects.toBe(lost)
  const bug = new Error('bug')
  let transactions = 0
  const redrives = redrivesWhere((pool, ...args) => (++transactions === 1 ? pool.run(...args) : Promise.reject(bug)))
  await expect(redrives.redrive('default', filter, 150)).rejects.toBe(bug)
})

it('One transaction is made however long the search took', async () => {
  const redrives = redrivesWhere((pool, ...args) => pool.run(...args))
  const clock = vi.spyOn(performance, 'now').mockReturnValueOnce(0).mockReturnValue(60_000)
  onTestFinished(() => clock.mockRestore())
  const { redriven, next } = await redrives.redrive('default', { status: 'failed' }, 150)
  expect(redriven).toHaveLength(100)
  expect(next).toBe(failed[99])
})
