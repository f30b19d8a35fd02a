import { connect } from '@jobyard/db/connect'
import { pino } from 'pino'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { TransactionAlarm } from './transaction-alarm.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

it('A transaction that is left open is told of, also in another database, as long as it lasts', async () => {
  const elsewhere = new URL(record.url)
  elsewhere.pathname = '/postgres'
  const forgetful = postgres(elsewhere.href, { max: 1, connection: { application_name: 'forgetful' } })
  const db = connect(record.url, { applicationName: 'test' })
  const told: { applicationName?: string; msg: string }[] = []
  const log = pino({}, { write: (line: string) => told.push(JSON.parse(line) as (typeof told)[number]) })
  const alarm = new TransactionAlarm(db.sql, log, 0)
  const aboutOurs = async () => {
    told.length = 0
    await alarm.runOnce()
    return told.filter(({ applicationName }) => applicationName === 'forgetful').map(({ msg }) => msg)
  }
  try {
    await forgetful`select 1`
    expect(await aboutOurs()).toEqual([])
    await forgetful.unsafe('begin')
    expect(await aboutOurs()).toEqual([expect.stringContaining('database postgres has been open')])
    expect(await aboutOurs()).toHaveLength(1)
    await forgetful.unsafe('rollback')
    expect(await aboutOurs()).toEqual([])
  } finally {
    await forgetful.end()
    await db.close()
  }
})
