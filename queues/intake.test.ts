import { connect } from '@jobyard/db/connect'
import { fateOf } from '@jobyard/db/trouble'
import { beforeEach, afterEach, expect, it } from 'vitest'
import { newJob, openRecord, type TestRecord } from '../testing/record.ts'
import { startTcpProxy, type TcpProxy } from '../testing/tcp-proxy.ts'
import type { Carrier } from './carrier.ts'
import { Circuit } from './circuit.ts'
import { DeadlineError } from './deadline.ts'
import { OverloadedError, RecordAwayError } from './errors.ts'
import { Intake } from './intake.ts'
import { TicketSender } from './tickets.ts'

const deadlineMs = 900
const carrier = { add: async () => {} } as unknown as Carrier

let record: TestRecord
let network: TcpProxy
let db: ReturnType<typeof connect>
let circuit: Circuit
let intake: Intake
beforeEach(async () => {
  record = await openRecord()
  network = await startTcpProxy(record.url)
  db = connect(network.url, { applicationName: 'intake', silentMs: 1_000 })
  circuit = new Circuit({ probe: async () => db.sql`select 1`, everyMs: 100 })
  const tickets = new TicketSender(carrier, { contracts: [], onLost: () => {} })
  intake = new Intake({ sql: db.sql, transactions: db.transactions, tickets, circuit, deadlineMs })
  await intake.accept(newJob())
})
afterEach(async () => {
  await intake.drained()
  circuit.stop()
  await db.close()
  network.close()
  await record.close()
})

/** What a job is refused with, and after how many milliseconds. */
async function refusal(accepting = intake.accept(newJob())): Promise<{ error: unknown; afterMs: number }> {
  const since = performance.now()
  const error = await accepting.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return { error, afterMs: performance.now() - since }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

it('A statement that is not answered ends at the deadline; what waits, or comes later, is refused at once', async () => {
  network.freeze()
  const sent = refusal()
  await turn()
  const waits = refusal()
  const { error, afterMs } = await sent
  expect(error).toBeInstanceOf(DeadlineError)
  expect(afterMs).toBeGreaterThan(deadlineMs - 50)
  expect((await waits).error).toBeInstanceOf(OverloadedError)
  const later = await refusal()
  expect(later.error).toBeInstanceOf(RecordAwayError)
  expect(later.afterMs).toBeLessThan(50)
  network.thaw()
  await expect.poll(() => circuit.isOpen, { timeout: 20_000 }).toBe(false)
  expect(await intake.accept(newJob())).toMatchObject({ kind: 'accepted' })
})

it('What waits is refused with the statement before it, and is not stored', async () => {
  const job = newJob()
  network.freeze()
  const sent = refusal()
  await turn()
  const waits = refusal(intake.accept(job))
  network.close()
  expect(fateOf((await sent).error)).toBe('unknown')
  expect((await waits).error).toBeInstanceOf(RecordAwayError)
  await expect(record.job(job.id)).rejects.toThrow('no job')
})

it('No job waits longer than the deadline while statements before it are slow', async () => {
  const waiting = await record.db.transactions.run(async (sql) => {
    await sql`lock table jobs in exclusive mode`
    const sent = refusal()
    await turn()
    const waits = refusal()
    return [await sent, await waits] as const
  })
  const [sent, waits] = waiting
  expect(sent.error).toBeInstanceOf(DeadlineError)
  expect(waits.error).toBeInstanceOf(OverloadedError)
  expect(waits.afterMs).toBeLessThan(deadlineMs)
})

it('A connection that breaks stops nobody for long', async () => {
  await record.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'intake'`
  await expect
    .poll(() =>
      intake.accept(newJob()).then(
        ({ kind }) => kind,
        () => 'refused',
      ),
    )
    .toBe('accepted')
  expect(circuit.isOpen).toBe(false)
})

it('A job with a deduplication key that others decide about is given up at the deadline; jobs without one go on', async () => {
  const job = newJob({ deduplicationKey: 'k' })
  const { error, afterMs } = await record.db.transactions.run(async (sql) => {
    await sql`lock table deduplications in exclusive mode`
    const waits = refusal(intake.accept(job))
    expect(await intake.accept(newJob())).toMatchObject({ kind: 'accepted' })
    return waits
  })
  expect(error).toBeInstanceOf(DeadlineError)
  expect(afterMs).toBeGreaterThan(deadlineMs - 50)
  expect(circuit.isOpen).toBe(false)
  expect(await intake.accept(newJob({ deduplicationKey: 'k' }))).toMatchObject({ kind: 'accepted' })
  await expect(record.job(job.id)).rejects.toThrow('no job')
})
