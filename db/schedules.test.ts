import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { addSchedule, newSchedule } from '../testing/schedules.ts'
import {
  deleteSchedule,
  listSchedules,
  pauseSchedule,
  readSchedule,
  resumeSchedule,
  upsertSchedule,
  type NewSchedule,
} from './schedules.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
beforeEach(() => record.sql`truncate schedules, occurrences, jobs, arrivals, outbox`)
afterAll(() => record.close())

const moment = (ms: number) => ({ nextAt: new Date(ms), dueAt: new Date(ms) })
const later = moment(Date.UTC(2040, 0, 1))
const read = async () => (await readSchedule(record.sql, 'default', 'nightly'))!

describe('Putting a schedule', () => {
  it('makes it, and does nothing when nothing differs', async () => {
    const schedule = newSchedule({ metadata: '{"a":{"b":1}}', tags: ['x'], input: '{"value":"\\u0000"}' })
    expect(await upsertSchedule(record.sql, schedule)).toMatchObject({ change: 'created', row: { version: 1 } })
    const again = await upsertSchedule(record.sql, { ...schedule, id: schedule.id.replace(/.$/, '0'), next: later })
    expect(again).toMatchObject({ change: 'unchanged', row: { id: schedule.id, version: 1, ...schedule.next } })
  })

  it.each<[string, Partial<NewSchedule>]>([
    ['input', { input: '{"value":2}' }],
    ['priority', { priority: 3 }],
    ['tags', { tags: ['y'] }],
    ['overlap', { overlap: 'skip' }],
    ['missed', { missed: 'all' }],
  ])('does not move its next firing when %s is another', async (_what, change) => {
    const schedule = newSchedule()
    await upsertSchedule(record.sql, schedule)
    const changed = await upsertSchedule(record.sql, { ...schedule, ...change, next: later })
    expect(changed).toMatchObject({ change: 'changed', row: { version: 2, ...schedule.next } })
  })

  it.each<[string, Partial<NewSchedule>]>([
    ['rule', { rule: { everyMs: 5_000 } }],
    ['jitter', { jitterMs: 1_000 }],
  ])('moves it when the %s is another', async (_what, change) => {
    const schedule = newSchedule()
    await upsertSchedule(record.sql, schedule)
    const changed = await upsertSchedule(record.sql, { ...schedule, ...change, next: later })
    expect(changed).toMatchObject({ change: 'changed', row: later })
  })

  it('keeps it paused unless it is said otherwise, and then it goes on with what comes next', async () => {
    await addSchedule(record.sql, { paused: true })
    expect(await read()).toMatchObject({ paused: true, dueAt: null })
    await addSchedule(record.sql, { priority: 1 })
    expect(await read()).toMatchObject({ paused: true, dueAt: null })
    await addSchedule(record.sql, { priority: 1, paused: false, next: later })
    expect(await read()).toMatchObject({ paused: false, ...later })
    await addSchedule(record.sql, { priority: 1, paused: true })
    expect(await read()).toMatchObject({ paused: true, dueAt: null })
  })

  it('leaves alone what belongs to the file, and the other way round', async () => {
    await addSchedule(record.sql, { source: 'file' })
    expect(await upsertSchedule(record.sql, newSchedule({ priority: 1 }))).toBeUndefined()
    expect(await upsertSchedule(record.sql, newSchedule())).toBeUndefined()
    expect(await deleteSchedule(record.sql, 'default', 'nightly', 'api')).toBe(false)
    expect(await read()).toMatchObject({ source: 'file', priority: 0 })
  })
})

it('Schedules are listed by name, of one tenant', async () => {
  for (const name of ['c', 'a', 'b']) await addSchedule(record.sql, { name })
  await addSchedule(record.sql, { name: 'a', tenant: 'another', id: '018f0000-0000-7000-8000-000000000000' })
  const names = async (page: { limit: number; after?: string }) =>
    (await listSchedules(record.sql, 'default', page)).map(({ name }) => name)
  expect(await names({ limit: 2 })).toEqual(['a', 'b'])
  expect(await names({ limit: 2, after: 'b' })).toEqual(['c'])
  expect(await deleteSchedule(record.sql, 'default', 'a', 'api')).toBe(true)
  expect(await readSchedule(record.sql, 'another', 'a')).toBeDefined()
})

it('A paused schedule goes on with what comes next; one that was changed meanwhile does not', async () => {
  const { row } = await addSchedule(record.sql)
  const paused = (await pauseSchedule(record.sql, 'default', 'nightly'))!
  expect(paused).toMatchObject({ paused: true, dueAt: null, version: row.version + 1 })
  expect(await resumeSchedule(record.sql, row, later)).toBe(false)
  expect(await resumeSchedule(record.sql, paused, later)).toBe(true)
  expect(await read()).toMatchObject({ paused: false, ...later })
  expect(await resumeSchedule(record.sql, await read(), moment(0))).toBe(false)
})
