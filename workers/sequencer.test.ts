import { settleAttempts } from '@jobyard/db/settle'
import { claimJobs } from '@jobyard/db/claim'
import { lockSequence, placeEvents, unplacedChannel } from '@jobyard/db/sequence'
import { connect } from '@jobyard/db/connect'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { Sequencer } from './sequencer.ts'

const log = pino({ level: 'silent' })
let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())
beforeEach(async () => {
  await record.sql`truncate jobs, endings, outbox`
  await record.sql`update stream set head = 0`
})

function openSequencer(options: { onUnplaced?: () => void; onPlaced?: () => void } = {}): Sequencer {
  const sequencer = new Sequencer({ databaseUrl: record.url, log, ...options })
  onTestFinished(() => sequencer.close())
  return sequencer
}

/** Runs so many jobs to their end. */
async function runJobs(count: number): Promise<void> {
  const worker = await record.addWorker()
  const ids = await Promise.all(Array.from({ length: count }, () => record.addJob()))
  const { jobs } = await claimJobs(record.sql, worker, ids)
  const ended = { outcome: 'completed', status: 'completed', output: '1' } as const
  await settleAttempts(
    record.sql,
    jobs.map(({ id, epoch }) => ({ id, epoch, ...ended })),
  )
}

/** Places of all events, in order. */
async function places(): Promise<number[]> {
  const rows = await record.sql<{ position: number }[]>`
    select (e.position - e.events + member.place)::float8 as position
    from endings e cross join unnest(e.job_ids) with ordinality as member (id, place) where e.position is not null
    union all select position::float8 from outbox where position is not null order by 1`
  return rows.map(({ position }) => position)
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

async function killSequencers(): Promise<void> {
  await record.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'jobyard-sequencer' and datname = current_database()`
}

describe('The sequencer', () => {
  it('is one of those who try, and another one when it has gone', async () => {
    const [first, second] = [openSequencer(), openSequencer()]
    await runJobs(2)
    await first.runOnce()
    await second.runOnce()
    expect([first.leads, second.leads]).toEqual([true, false])
    await first.close()
    await runJobs(1)
    await second.runOnce()
    expect([first.leads, second.leads]).toEqual([false, true])
    expect(await places()).toEqual(upTo(3))
  })

  it('hands over before it closes, and goes on to nudge', async () => {
    const nudged = Promise.withResolvers<void>()
    const [first, second] = [openSequencer(), openSequencer({ onUnplaced: nudged.resolve })]
    await first.runOnce()
    await first.stepDown()
    await second.runOnce()
    expect([first.leads, second.leads]).toEqual([false, true])
    await first.nudge()
    await nudged.promise
  })

  it('places nothing on a connection that is new and does not hold the lock, which another one took', async () => {
    const [first, second] = [openSequencer(), openSequencer()]
    await first.runOnce()
    await killSequencers()
    await runJobs(1)
    await expect
      .poll(() =>
        second.runOnce().then(
          () => second.leads,
          () => false,
        ),
      )
      .toBe(true)
    await runJobs(1)
    while (first.leads) await first.runOnce().catch(() => {})
    expect(await places()).toEqual(upTo(1))
    await second.runOnce()
    expect(await places()).toEqual(upTo(2))
  })

  it('leaves no gap and gives no place twice, however many try and lose their connections', async () => {
    const sequencers = [openSequencer(), openSequencer(), openSequencer()]
    let done = false
    const trying = sequencers.map(async (each) => {
      while (!done) await each.runOnce().catch(() => {})
    })
    for (let round = 0; round < 20; round++) {
      await Promise.all([runJobs(1 + (round % 4)), runJobs(2)])
      if (round % 4 === 3) await killSequencers()
    }
    const events = 20 * 2 + 5 * (1 + 2 + 3 + 4)
    await expect.poll(async () => (await places()).length, { timeout: 10_000 }).toBe(events)
    done = true
    await Promise.all(trying)
    expect(await places()).toEqual(upTo(events))
  })

  it('finds those who commit late, within two minutes at once and later once a minute', async () => {
    const sequencer = openSequencer()
    await runJobs(1)
    await sequencer.runOnce()
    await runJobs(2)
    await record.sql`update endings set ended_at = ended_at - interval '1 minute' where position is null`
    await sequencer.runOnce()
    expect(await places()).toEqual(upTo(3))
    await runJobs(1)
    await record.sql`update endings set ended_at = ended_at - interval '1 hour' where position is null`
    await sequencer.runOnce()
    expect(await places()).toEqual(upTo(3))
    for (let round = 0; round < 60; round++) await sequencer.runOnce()
    expect(await places()).toEqual(upTo(4))
  })

  it('is nudged by others, and tells that there are new places', async () => {
    const unplaced = Promise.withResolvers<void>()
    const placed = Promise.withResolvers<void>()
    const leader = openSequencer({ onUnplaced: unplaced.resolve, onPlaced: placed.resolve })
    const other = openSequencer()
    await leader.runOnce()
    await other.nudge()
    await unplaced.promise
    await runJobs(1)
    await leader.runOnce()
    await placed.promise
    expect(await places()).toEqual(upTo(1))
  })

  it('hears nudges again after it has lost its connections', async () => {
    let heard = 0
    const leader = openSequencer({ onUnplaced: () => heard++ })
    await leader.runOnce()
    await killSequencers()
    while (leader.leads) await leader.runOnce().catch(() => {})
    while (!leader.leads) await leader.runOnce().catch(() => {})
    heard = 0
    await record.sql`select pg_notify(${unplacedChannel}, '')`
    await expect.poll(() => heard, { timeout: 5_000 }).toBeGreaterThan(0)
  })

  it('listens only where somebody wants to know', async () => {
    await openSequencer().runOnce()
    const listening = () => record.sql`
      select from pg_stat_activity where application_name = 'jobyard-sequencer' and datname = current_database() and query ilike ${`listen%${unplacedChannel}%`}`
    await expect.poll(listening).toHaveLength(0)
  })
})

it('Who has the lock loses its connection when it falls silent, and with it the lock; who has not may be silent', async () => {
  const [holder, other] = [
    connect(record.url, { applicationName: 'holder', max: 1 }),
    connect(record.url, { applicationName: 'other', max: 1 }),
  ]
  onTestFinished(() => Promise.all([holder.close(), other.close()]).then(() => {}))
  const silence = async ({ sql }: typeof holder) =>
    (await sql`select current_setting('idle_session_timeout') as silence`)[0]?.silence as string
  expect([await lockSequence(holder.sql), await lockSequence(other.sql)]).toEqual([true, false])
  expect([await silence(holder), await silence(other)]).toEqual(['15s', '0'])
  await holder.sql`select set_config('idle_session_timeout', '50ms', false)`
  await expect.poll(() => lockSequence(other.sql)).toBe(true)
})

it('Who has not the lock places nothing, and who takes it over sees all that was placed before', async () => {
  const [early, late] = [
    connect(record.url, { applicationName: 'early', max: 1 }),
    connect(record.url, { applicationName: 'late', max: 1 }),
  ]
  await runJobs(3)
  expect(await lockSequence(early.sql)).toBe(true)
  expect(await placeEvents(late.sql)).toMatchObject({ held: false, events: 0 })
  expect(await placeEvents(early.sql)).toMatchObject({ held: true, events: 3 })
  await early.close()
  expect(await placeEvents(late.sql)).toMatchObject({ held: false, events: 0 })
  await expect.poll(() => lockSequence(late.sql)).toBe(true)
  expect(await placeEvents(late.sql)).toMatchObject({ held: true, events: 0 })
  await late.close()
})
