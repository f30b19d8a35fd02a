import { pino } from 'pino'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { claimJobs } from '@jobyard/db/claim'
import { connect } from '@jobyard/db/connect'
import { Settlements } from './settlements.ts'

let record: TestRecord
let worker: string
beforeAll(async () => {
  record = await openRecord()
  worker = await record.addWorker()
})
afterAll(() => record.close())

it('lets an outcome that cannot be stored fail alone, whatever the reason', async () => {
  const settlements = new Settlements(record.sql, pino({ level: 'silent' }))
  const ids = await Promise.all([1, 2, 3, 4, 5].map(() => record.addJob()))
  await claimJobs(record.sql, worker, ids)
  const outputs = ['1', 'no JSON', '3', '{"a":', '5']
  const settled = await Promise.all(
    ids.map((id, index) =>
      settlements.settle({ id, epoch: 1, outcome: 'completed', status: 'completed', output: outputs[index]! }),
    ),
  )
  expect(settled.map((each) => each?.status)).toEqual(['completed', 'failed', 'completed', 'failed', 'completed'])
  expect(await record.job(ids[1]!)).toMatchObject({ error: { reason: 'output_not_storable' } })
  const unreadable = { reason: 1n as never, message: 'a reason that JSON does not know' }
  const more = await record.addJob()
  await claimJobs(record.sql, worker, [more])
  const failed = { id: more, epoch: 1, outcome: 'failed', status: 'failed', error: unreadable } as const
  expect(await settlements.settle(failed)).toMatchObject({ status: 'failed' })
})

it.each([
  'ENOTFOUND',
  'EAI_AGAIN',
  'EMFILE',
  '28P01',
  '3D000',
  '42501',
  '53300',
  '55000',
  'XX000',
  'a code of next year',
  undefined,
])('repeats a settlement that failed with %s: an outcome is never to blame for it', async (code) => {
  let failures = 1
  const unsteady = new Proxy(record.sql, {
    apply: (sql, _self, args: unknown[]) => {
      if (failures-- > 0) throw Object.assign(new Error('not now'), code && { code })
      return Reflect.apply(sql, undefined, args) as unknown
    },
  })
  const settlements = new Settlements(unsteady, pino({ level: 'silent' }))
  const id = await record.addJob()
  await claimJobs(record.sql, worker, [id])
  await settlements.settle({ id, epoch: 1, outcome: 'completed', status: 'completed', output: '1' })
  expect(await record.job(id)).toMatchObject({ status: 'completed', output: 1 })
})

it('settles the others while somebody keeps a row locked, and that one when it is free', async () => {
  const db = connect(record.url, { applicationName: 'impatient', statementTimeoutMs: 200 })
  const settlements = new Settlements(db.sql, pino({ level: 'silent' }))
  const ids = await Promise.all([1, 2, 3, 4].map(() => record.addJob()))
  await claimJobs(record.sql, worker, ids)
  const settle = (id: string) =>
    settlements.settle({ id, epoch: 1, outcome: 'completed', status: 'completed', output: '1' })
  const [locked, ...others] = ids
  const settling = await record.db.transactions.run(async (sql) => {
    await sql`select from jobs where id = ${locked!} for update`
    const settlingLocked = settle(locked!)
    await Promise.all(others.slice(0, 2).map(settle))
    await settle(others[2]!)
    expect(await record.job(locked!)).toMatchObject({ status: 'running' })
    return { settlingLocked }
  })
  expect(await settling.settlingLocked).toMatchObject({ status: 'completed' })
  await settlements.drained()
  await db.close()
})

it('loses no outcome when its connections are cut', async () => {
  const db = connect(record.url, { applicationName: 'victim' })
  const settlements = new Settlements(db.sql, pino({ level: 'silent' }))
  const ids = await Promise.all(Array.from({ length: 20 }, () => record.addJob()))
  await claimJobs(record.sql, worker, ids)
  await db.sql`select 1`
  const settling = Promise.all(
    ids.map((id) => settlements.settle({ id, epoch: 1, outcome: 'completed', status: 'completed', output: '1' })),
  )
  await record.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim'`
  await settling
  for (const id of ids) expect(await record.job(id)).toMatchObject({ status: 'completed', attemptsMade: 1 })
  await settlements.drained()
  await db.close()
})
