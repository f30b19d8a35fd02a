import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { addSchedule, newSchedule } from '../testing/schedules.ts'
import { listOccurrences } from './occurrences.ts'
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
    const { row, change } = await addSchedule(record.sql, schedule)
    expect([change, row.version]).toEqual(['created', 1])
    const again = await addSchedule(record.sql, schedule)
    expect(again).toEqual({ change: 'unchanged', row })
  })

  it.each<[string, Partial<NewSchedule>]>([
    ['input', { input: '{"value":2}' }],
    ['metadata', { metadata: '{"a":1}' }],
    ['priority', { priority: 3 }],
    ['tags', { tags: ['y'] }],
    ['overlap', { overlap: 'skip' }],
    ['missed', { missed: 'all' }],
    ['rule', { rule: { everyMs: 5_000 } }],
    ['jitter', { jitterMs: 1_000 }],
  ])('changes it when its %s is another, and has it go on where it is told to', async (_what, change) => {
    const { next } = newSchedule()
    await addSchedule(record.sql)
    expect(await addSchedule(record.sql, { ...change, next })).toMatchObject({
      change: 'changed',
      row: { version: 2, ...next },
    })
  })

  it('keeps it paused unless it is said otherwise', async () => {
    await addSchedule(record.sql, { paused: true })
    expect(await read()).toMatchObject({ paused: true, dueAt: null })
    await addSchedule(record.sql, { priority: 1 })
    expect(await read()).toMatchObject({ paused: true, dueAt: null })
    await addSchedule(record.sql, { priority: 1, paused: false, next: later })
    expect(await read()).toMatchObject({ paused: false, ...later })
    await addSchedule(record.sql, { priority: 1, paused: true })
    expect(await read()).toMatchObject({ paused: true, dueAt: null })
  })

  it('leaves it alone when it is not as it was known any more, or there is one by now', async () => {
    const { row } = await addSchedule(record.sql)
    const change = { ...newSchedule(), id: row.id, priority: 5 }
    expect(await upsertSchedule(record.sql, { ...change, known: { version: 2, nextAt: row.nextAt } })).toBeUndefined()
    expect(await upsertSchedule(record.sql, { ...change, known: { version: 1, nextAt: later.nextAt } })).toBeUndefined()
    expect(await upsertSchedule(record.sql, newSchedule({ priority: 5 }))).toBeUndefined()
    expect(await upsertSchedule(record.sql, { ...newSchedule({ priority: 5 }), known: row })).toBeUndefined()
    expect(await read()).toMatchObject({ priority: 0, version: 1 })
  })

  it('leaves alone what belongs to the file', async () => {
    const { row } = await addSchedule(record.sql, { source: 'file' })
    const change = { ...newSchedule({ priority: 1 }), id: row.id, known: row }
    expect(await upsertSchedule(record.sql, change)).toBeUndefined()
    expect(await deleteSchedule(record.sql, 'default', 'nightly', 'api')).toBe(false)
    expect(await read()).toMatchObject({ source: 'file', priority: 0 })
  })
})

describe('An occurrence that has come and was not fired yet', () => {
  const missed = async () =>
    (await listOccurrences(record.sql, (await read()).id, { limit: 9 })).map(({ at, outcome }) => [at, outcome])

  it('is recorded as missed when its schedule goes on with another, or is paused', async () => {
    const { row } = await addSchedule(record.sql)
    await addSchedule(record.sql, { priority: 1 })
    expect(await missed()).toEqual([])
    await addSchedule(record.sql, { rule: { everyMs: 5_000 }, next: later })
    expect(await missed()).toEqual([[row.nextAt, 'missed']])
    await addSchedule(record.sql, { name: 'other' })
    await pauseSchedule(record.sql, 'default', 'other')
    expect(await record.sql`select from occurrences`).toHaveLength(2)
    await addSchedule(record.sql, { name: 'third' })
    await addSchedule(record.sql, { name: 'third', paused: true })
    expect(await record.sql`select from occurrences`).toHaveLength(3)
  })

  it('is not when it is still to come', async () => {
    await addSchedule(record.sql, { next: later })
    await addSchedule(record.sql, { rule: { everyMs: 5_000 }, next: moment(Date.UTC(2041, 0, 1)) })
    await pauseSchedule(record.sql, 'default', 'nightly')
    expect(await missed()).toEqual([])
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
  await pauseSchedule(record.sql, 'default', 'nightly')
  const paused = await read()
  expect(paused).toMatchObject({ paused: true, dueAt: null, version: row.version + 1 })
  expect(await resumeSchedule(record.sql, row, later)).toBe(false)
  expect(await resumeSchedule(record.sql, paused, later)).toBe(true)
  expect(await read()).toMatchObject({ paused: false, ...later })
  expect(await resumeSchedule(record.sql, await read(), moment(0))).toBe(false)
})
