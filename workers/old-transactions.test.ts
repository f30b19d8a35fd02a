import { connect } from '@jobyard/db/connect'
import { pino } from 'pino'
import { expect, inject, it, onTestFinished } from 'vitest'
import { createDatabase } from '../testing/postgres.ts'
import { openRecord } from '../testing/record.ts'
import { OldTransactions } from './old-transactions.ts'

/** A transaction in a database of its own, which ends with the test. */
async function openTransaction(applicationName: string) {
  const database = await createDatabase(inject('postgresAdminUrl'))
  const db = connect(database.url, { applicationName })
  const begun = Promise.withResolvers<number>()
  const end = Promise.withResolvers<void>()
  const done = db.transactions.run(async (sql) => {
    const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid, pg_current_xact_id()`
    begun.resolve(row!.pid)
    await end.promise
  })
  onTestFinished(async () => {
    end.resolve()
    await done
    await db.close()
    await database.drop()
  })
  return { pid: await begun.promise, database: new URL(database.url).pathname.slice(1) }
}

async function openWatch(olderThanMs?: number) {
  const record = await openRecord()
  onTestFinished(() => record.close())
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'warn', base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  return { watch: new OldTransactions(record.sql, log, olderThanMs), lines }
}

it('A transaction that stays open in another database is told of, with the remedy', async () => {
  const { pid, database } = await openTransaction('reporting')
  const { watch, lines } = await openWatch(0)
  const worst = async () => {
    await watch.runOnce()
    return lines.at(-1)
  }
  await expect
    .poll(worst, { timeout: 10_000 })
    .toMatchObject({ name: String(pid), database, owner: 'reporting', state: 'idle in transaction', kind: 'session' })
  expect(lines.at(-1)?.msg).toBe(
    `Session ${pid} of reporting in database ${database} (idle in transaction) has held up vacuum for 0 min, ` +
      `and queues slow down meanwhile. End it where it was begun, or with select pg_terminate_backend(${pid}).`,
  )
})

it('Young transactions are nobody’s business', async () => {
  await openTransaction('quick')
  const { watch, lines } = await openWatch()
  expect(await watch.runOnce()).toBe(0)
  expect(lines).toEqual([])
})
