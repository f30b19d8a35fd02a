import { connect } from '@jobyard/db/connect'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { openRecord } from '../testing/record.ts'
import { TransactionAlarm } from './transaction-alarm.ts'

it('A transaction that is left open is told of, also in another database, as long as it lasts', async () => {
  const record = await openRecord()
  const elsewhere = new URL(record.url)
  elsewhere.pathname = '/postgres'
  const forgetful = connect(elsewhere.href, { applicationName: 'forgetful' })
  const told: { applicationName?: string; msg: string }[] = []
  const log = pino({}, { write: (line: string) => told.push(JSON.parse(line) as (typeof told)[number]) })
  const alarm = new TransactionAlarm(record.sql, log, 0)
  const aboutIt = async () => {
    told.length = 0
    await alarm.runOnce()
    return told.filter(({ applicationName }) => applicationName === 'forgetful transaction').map(({ msg }) => msg)
  }
  try {
    await forgetful.transactions.run(async (sql) => {
      await sql`select 1`
      expect(await aboutIt()).toEqual([expect.stringContaining('database postgres has been open')])
      expect(await aboutIt()).toHaveLength(1)
    })
    expect(await aboutIt()).toEqual([])
  } finally {
    await forgetful.close()
    await record.close()
  }
})
