import { newId } from '@jobyard/db/ids'
import { listOccurrences } from '@jobyard/db/occurrences'
import { readSchedule, type NewSchedule } from '@jobyard/db/schedules'
import { openCarrier, type Carrier } from '@jobyard/queues/carrier'
import { TicketSender } from '@jobyard/queues/tickets'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { addSchedule } from '../testing/schedules.ts'
import { ScheduleTicker } from './schedule-ticker.ts'

let record: TestRecord
let carrier: Carrier
let tickets: TicketSender
let events = 0
beforeAll(async () => {
  record = await openRecord()
  carrier = openCarrier({ databaseUrl: record.url, onError: () => {} })
  tickets = new TicketSender(carrier, { contracts: [], onLost: () => {} })
})
afterAll(async () => {
  await carrier.close()
  await record.close()
})
beforeEach(async () => {
  await record.sql`truncate schedules, occurrences, jobs, arrivals, outbox, endings`
  events = 0
})

const ticker = () =>
  new ScheduleTicker({ sql: record.sql, tickets, onEvent: () => events++, log: pino({ level: 'silent' }) })
const minute = 60_000
/** Adds a schedule of each minute whose next occurrence was so many milliseconds ago. */
async function add(agoMs: number, overrides: Partial<NewSchedule> = {}): Promise<string> {
  const nextAt = new Date(Date.now() - agoMs)
  const rule = { everyMs: minute, anchor: nextAt.toISOString() }
  const { row } = await addSchedule(record.sql, { id: newId(), rule, next: { nextAt, dueAt: nextAt }, ...overrides })
  return row.id
}
const outcomes = async (id: string) =>
  (await listOccurrences(record.sql, id, { limit: 100 })).toReversed().map(({ outcome }) => outcome)
const jobs = () => record.sql`select * from jobs order by id`
const moveBack = (ms: number) => record.sql`
  update schedules set next_at = next_at - ${ms}::float8 * interval '1 millisecond', due_at = due_at - ${ms}::float8 * interval '1 millisecond',
    rule = jsonb_set(rule::jsonb, '{anchor}', to_jsonb(to_char((next_at - ${ms}::float8 * interval '1 millisecond') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))::json,
    version = version + 1`

describe('A round', () => {
  it('fires what is due and sends its tickets, and says when the next is due', async () => {
    const id = await add(1_000)
    const one = ticker()
    expect(await one.runOnce()).toBe(1)
    expect(await outcomes(id)).toEqual(['fired'])
    const [job] = await jobs()
    expect(job).toMatchObject({ status: 'queued', type: 'echo' })
    const sent = await record.sql<{ ids: string[] }[]>`select data->'ids' as ids from bullmq.job where data ? 'ids'`
    expect(sent.flatMap(({ ids }) => ids)).toContain(job!.id)
    expect(await one.runOnce()).toBe(500)
    const soon = new Date(Date.now() + 200)
    await record.sql`update schedules set due_at = ${soon}`
    expect(await one.runOnce()).toBeLessThanOrEqual(200)
  })

  it('fires each occurrence once, however many try at the same time', async () => {
    for (let n = 0; n < 50; n++) await add(1_000, { name: `s${n}` })
    const tickers = Array.from({ length: 5 }, ticker)
    for (let round = 0; round < 3; round++) await Promise.all(tickers.map((each) => each.runOnce()))
    expect(await jobs()).toHaveLength(50)
    expect(await record.sql`select from occurrences`).toHaveLength(50)
  })

  it('takes up a rule that was changed', async () => {
    const one = ticker()
    const id = await add(1_000)
    await one.runOnce()
    await moveBack(minute - 500)
    await one.runOnce()
    expect(await outcomes(id)).toEqual(['fired', 'fired'])
  })

  it('records what was missed, and tells of it', async () => {
    const id = await add(5 * minute + 1_000)
    await ticker().runOnce()
    expect(await outcomes(id)).toEqual(['missed', 'fired', 'fired'])
    expect(events).toBe(1)
    expect(await record.sql`select type from outbox`).toMatchObject([{ type: 'schedule.missed' }])
  })

  it('cancels the run before where that is to give way', async () => {
    await add(1_000, { overlap: 'cancel-previous' })
    const one = ticker()
    await one.runOnce()
    await moveBack(minute - 500)
    await one.runOnce()
    expect((await jobs()).map(({ status }) => status as string)).toEqual(['cancelled', 'queued'])
    expect(events).toBe(1)
  })

  it('does not cancel the run before where no other is made', async () => {
    await add(1_000, { overlap: 'cancel-previous', missed: 'skip' })
    const one = ticker()
    await one.runOnce()
    await moveBack(2 * minute + 1_000)
    const endsAt = new Date(Date.now() - 90_000).toISOString()
    await record.sql`update schedules set rule = jsonb_set(rule::jsonb, '{endsAt}', to_jsonb(${endsAt}::text))::json`
    await one.runOnce()
    expect((await jobs()).map(({ status }) => status as string)).toEqual(['queued'])
  })

  it('fires no more at once than a statement can bear', async () => {
    for (let n = 0; n < 3; n++) await add(400 * minute, { name: `s${n}`, missed: 'all', missedMax: 1_000 })
    const one = ticker()
    expect(await one.runOnce()).toBe(true)
    expect((await jobs()).length).toBeLessThanOrEqual(1_000)
    expect(await one.runOnce()).toBe(1)
    expect(await jobs()).toHaveLength(3 * 401)
  })

  it('sets a schedule aside that cannot be fired, and fires the others', async () => {
    const [broken, unstorable, ...others] = [
      await add(1_000, { name: 'broken', rule: { cron: 'no' } }),
      await add(1_000, { name: 'unstorable' }),
      await add(1_000, { name: 'a' }),
      await add(1_000, { name: 'b' }),
      await add(1_000, { name: 'c' }),
    ]
    await record.sql`update schedules set timeout_ms = -1 where name = 'unstorable'`
    await record.sql`alter table jobs add constraint of_this_test check (timeout_ms > 0)`
    try {
      await ticker().runOnce()
    } finally {
      await record.sql`alter table jobs drop constraint of_this_test`
    }
    for (const id of others) expect(await outcomes(id)).toEqual(['fired'])
    for (const id of [broken, unstorable]) expect(await outcomes(id)).toEqual([])
    for (const name of ['broken', 'unstorable']) {
      const row = await readSchedule(record.sql, 'default', name)
      expect(row!.dueAt!.getTime()).toBeGreaterThan(Date.now() + 3_500_000)
    }
  })
})
