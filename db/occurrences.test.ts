import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { addSchedule } from '../testing/schedules.ts'
import { newId } from './ids.ts'
import {
  findDue,
  fire,
  listOccurrences,
  pruneOccurrences,
  trigger,
  type DueSchedule,
  type Firing,
  type NewOccurrence,
} from './occurrences.ts'
import { pauseSchedule, readSchedule, type NewSchedule } from './schedules.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
beforeEach(() => record.sql`truncate schedules, occurrences, jobs, arrivals, outbox, endings`)
afterAll(() => record.close())

async function addDue(overrides: Partial<NewSchedule> = {}): Promise<DueSchedule> {
  const { row } = await addSchedule(record.sql, overrides)
  const { schedules } = await findDue(record.sql)
  return schedules.find(({ id }) => id === row.id)!
}

const minutes = (date: Date, count: number) => new Date(date.getTime() + count * 60_000)

/** A firing of the occurrence that is due, and of others beside it. */
function firingOf(schedule: DueSchedule, ...others: Partial<NewOccurrence>[]): Firing {
  const nextAt = minutes(schedule.nextAt, 1)
  const occurrences = [{}, ...others].map((other, index): NewOccurrence => ({
    at: minutes(schedule.nextAt, -index),
    outcome: 'due',
    jobId: newId(),
    ...other,
  }))
  return { schedule, occurrences, next: { nextAt, dueAt: nextAt } }
}

const read = (name = 'nightly') => readSchedule(record.sql, 'default', name)
const list = async (id: string) => listOccurrences(record.sql, id, { limit: 100 })
const jobs = () => record.sql`select * from jobs order by id`

describe('What is due', () => {
  it('comes with the clock of Postgres; else one learns how long it will be until something is', async () => {
    expect(await findDue(record.sql)).toEqual({ schedules: [], nextInMs: undefined })
    const soon = new Date(Date.now() + 60_000)
    await addSchedule(record.sql, { name: 'later', next: { nextAt: soon, dueAt: soon } })
    const { schedules, nextInMs } = await findDue(record.sql)
    expect(schedules).toEqual([])
    expect(nextInMs).toBeGreaterThan(50_000)
    expect(nextInMs).toBeLessThanOrEqual(60_000)
    const due = await addDue()
    expect(due.now.getTime()).toBeGreaterThan(due.dueAt.getTime())
    await pauseSchedule(record.sql, 'default', 'nightly')
    expect((await findDue(record.sql)).schedules).toEqual([])
  })
})

describe('Firing', () => {
  it('makes a job that says what it is of, and moves the schedule on', async () => {
    const schedule = await addDue({ metadata: '{"a":{"b":1}}', tags: ['t'], priority: 4, name: 'with "quotes"' })
    const firing = firingOf(schedule)
    const [ticket] = (await fire(record.sql, [firing])).jobs
    const [job] = await jobs()
    expect(ticket).toMatchObject({ id: job!.id, queue: 'default', priority: 4, type: 'echo', alone: false })
    expect(job).toMatchObject({
      status: 'queued',
      input: { value: 1 },
      tags: ['t'],
      tenant: 'default',
      internal: false,
    })
    const occurrence = schedule.nextAt.toISOString()
    expect(job!.metadata).toEqual({ a: { b: 1 }, schedule: 'with "quotes"', occurrence })
    expect(await read('with "quotes"')).toMatchObject({ ...firing.next, lastJobId: job!.id, lastStatus: 'queued' })
    expect(await list(schedule.id)).toMatchObject([
      { at: schedule.nextAt, manual: false, outcome: 'fired', jobId: job!.id, jobStatus: 'queued' },
    ])
    expect(await record.sql`select from arrivals where ${job!.id} = any(job_ids)`).toHaveLength(1)
  })

  it('happens once, however many try it at the same time', async () => {
    const due = await Promise.all(Array.from({ length: 20 }, (_, n) => addDue({ name: `s${n}` })))
    const tries = Array.from({ length: 6 }, () =>
      fire(
        record.sql,
        due.map((schedule) => firingOf(schedule)),
      ),
    )
    await Promise.all(tries)
    await fire(
      record.sql,
      due.map((schedule) => firingOf(schedule)),
    )
    expect(await jobs()).toHaveLength(20)
    expect(await record.sql`select from occurrences`).toHaveLength(20)
  })

  it('does not repeat an occurrence, although the schedule was set back to it', async () => {
    const schedule = await addDue()
    await fire(record.sql, [firingOf(schedule)])
    await record.sql`update schedules set next_at = ${schedule.nextAt}, due_at = ${schedule.nextAt}`
    const again = (await findDue(record.sql)).schedules[0]!
    await fire(record.sql, [firingOf(again)])
    expect(await jobs()).toHaveLength(1)
    expect((await read())?.nextAt).toEqual(minutes(schedule.nextAt, 1))
  })

  it('leaves a schedule alone that was changed or paused since it was looked at', async () => {
    const schedule = await addDue()
    await addSchedule(record.sql, { priority: 9 })
    expect(await fire(record.sql, [firingOf(schedule)])).toEqual({ jobs: [], taken: 0 })
    const changed = (await findDue(record.sql)).schedules[0]!
    await pauseSchedule(record.sql, 'default', 'nightly')
    expect(await fire(record.sql, [firingOf(changed)])).toEqual({ jobs: [], taken: 0 })
    expect(await jobs()).toEqual([])
  })

  it('skips an exclusive occurrence while the last run is unfinished, and fires it when that has ended', async () => {
    const [job] = (await fire(record.sql, [firingOf(await addDue({ overlap: 'skip' }))])).jobs
    const next = async () => {
      await record.sql`update schedules set due_at = now()`
      const schedule = (await findDue(record.sql)).schedules[0]!
      const [occurrence] = firingOf(schedule).occurrences
      const { jobs: made } = await fire(record.sql, [
        { ...firingOf(schedule), occurrences: [{ ...occurrence!, isExclusive: true }] },
      ])
      const [recorded] = await list(schedule.id)
      return [schedule.isRunning, made.length, recorded?.outcome]
    }
    expect(await next()).toEqual([true, 0, 'overlapped'])
    await record.end(job!.id, 'completed', 0)
    expect(await next()).toEqual([false, 1, 'fired'])
    expect(await next()).toEqual([true, 0, 'overlapped'])
  })

  it('records what was missed in one row, and tells of it', async () => {
    const schedule = await addDue()
    const from = minutes(schedule.nextAt, -10)
    const through = minutes(schedule.nextAt, -1)
    const missed = { id: newId(), from, through, count: 10, fired: 1 }
    await fire(record.sql, [{ ...firingOf(schedule, { at: from, outcome: 'missed', through, count: 9 }), missed }])
    expect(await jobs()).toHaveLength(1)
    expect(await list(schedule.id)).toMatchObject([
      { outcome: 'fired' },
      { at: from, outcome: 'missed', through, count: 9, jobId: null },
    ])
    const [event] = await record.sql`select * from outbox`
    expect(event).toMatchObject({ type: 'schedule.missed', tenant: 'default', jobId: null })
    expect(event!.data).toEqual({
      name: 'nightly',
      from: from.toISOString(),
      through: through.toISOString(),
      count: 10,
      fired: 1,
    })
  })
})

it('A run by hand is marked as such, needs no due schedule, and takes the place of the last run', async () => {
  await addSchedule(record.sql, { paused: true })
  const jobId = newId()
  expect(await trigger(record.sql, { tenant: 'default', name: 'nightly', jobId })).toMatchObject({ id: jobId })
  expect(await trigger(record.sql, { tenant: 'another', name: 'nightly', jobId: newId() })).toBeUndefined()
  const row = (await read())!
  expect(row).toMatchObject({ lastJobId: jobId, paused: true })
  expect(await list(row.id)).toMatchObject([{ manual: true, outcome: 'fired', jobId }])
})

it('Occurrences are listed page by page, and forgotten when they are old', async () => {
  const schedule = await addDue()
  await fire(record.sql, [firingOf(schedule, {}, {}, {})])
  const first = await listOccurrences(record.sql, schedule.id, { limit: 3 })
  const second = await listOccurrences(record.sql, schedule.id, { limit: 3, before: first.at(-1)!.place })
  expect([...first, ...second].map(({ at }) => at)).toEqual([0, 1, 2, 3].map((n) => minutes(schedule.nextAt, -n)))
  expect(await pruneOccurrences(record.sql, 60_000)).toBe(0)
  await record.sql`update occurrences set recorded_at = now() - interval '1 hour' where at < ${schedule.nextAt}`
  expect(await pruneOccurrences(record.sql, 60_000)).toBe(3)
})
