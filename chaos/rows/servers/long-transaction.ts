import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import type { Stage } from '../../stage/stage.ts'
import type { Trial, TrialContext } from '../trial.ts'

const jobsPerSecond = 150
const openForMs = 180_000
/** Time over which jobs are timed before, and at the end of the transaction, in milliseconds. */
const timedForMs = 25_000
/** How much longer jobs may wait at the end of a long transaction. */
const mostTimes = 2

export const longTransaction: readonly Trial[] = [
  { row: 19, name: 'a transaction open for minutes, here and in another database', minutes: 4, run: openForMinutes },
]

async function openForMinutes(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  context.client(stage, { jobsPerSecond, batchPercent: 0 }).start()
  await context.ledger.accepts(10 * jobsPerSecond)
  await delay(timedForMs)
  const usual = await waitOfLast(stage)
  await stage.db.sql`create database elsewhere`
  const close = [await openTransaction(stage, 'postgres'), await openTransaction(stage, 'elsewhere')]
  await delay(openForMs)
  context.injected('transaction open for minutes', `${openForMs} ms`)
  const then = await waitOfLast(stage)
  for (const end of close) await end()
  context.figures['p99 of the time from acceptance to start, usually, ms'] = usual
  context.figures['the same after a transaction was open for 3 minutes, ms'] = then
  context.expect(
    then <= mostTimes * usual,
    'R',
    `Jobs wait ${then.toFixed(1)} ms, where they waited ${usual.toFixed(1)}`,
  )
  for (const database of ['postgres', 'elsewhere']) {
    const alarmed = (await logOf(stage)).some((line) => line.includes('transaction') && line.includes(database))
    context.expect(alarmed, 'R', `No log tells of the transaction in the database ${database}`)
  }
  await context.endWell(stage)
}

/** A transaction that has written and looked, so that it holds up everything that such a one can hold up. */
async function openTransaction({ postgres: server }: Stage, database: string): Promise<() => Promise<void>> {
  const url = new URL(server.url)
  url.pathname = `/${database}`
  const forgetful = postgres(url.href, { max: 1, onnotice: () => {}, connection: { application_name: 'forgetful' } })
  await forgetful.unsafe('begin isolation level repeatable read; select txid_current()')
  return () => forgetful.end({ timeout: 0 })
}

/** @returns the time that 99 of 100 jobs of late have waited at most, in milliseconds. */
async function waitOfLast({ db }: Stage): Promise<number> {
  const [row] = await db.sql<{ ms: number }[]>`
    select percentile_cont(0.99) within group (order by extract(epoch from started_at - created_at) * 1000)::float8 as ms
    from jobs where started_at > statement_timestamp() - ${timedForMs}::float8 * interval '1 millisecond' and epoch = 1`
  return row?.ms ?? 0
}

async function logOf({ folder, workers }: Stage): Promise<string[]> {
  const texts = await Promise.all(workers.map(({ name }) => readFile(join(folder, `${name}.log`), 'utf8')))
  return texts.join('').split('\n')
}
