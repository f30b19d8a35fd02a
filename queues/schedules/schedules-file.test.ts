import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listSchedules } from '@jobyard/db/schedules'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { openRecord, type TestRecord } from '../../testing/record.ts'
import { addSchedule } from '../../testing/schedules.ts'
import { catalogue } from '../catalogue.ts'
import { applySchedules, parseSchedules, readSchedulesFile } from './schedules-file.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
beforeEach(() => record.sql`truncate schedules, occurrences`)
afterAll(() => record.close())

const path = 'schedules.yaml'
const apply = async (text: string, dryRun = false) =>
  applySchedules(record.db, parseSchedules(text, catalogue, path), { path, dryRun })
const stored = async () =>
  (await listSchedules(record.sql, 'default', { limit: 10 })).map(({ name, source, rule }) => [name, source, rule])

const two = `
nightly: # before the office opens
  type: echo
  input: { value: 1 }
  cron: 30 2 * * *
  timeZone: Europe/Berlin
often:
  type: echo
  input: { value: 2 }
  everyMs: 5000
`

describe('The schedules file', () => {
  it('makes what it names, changes what is another, and removes what it does not name any more', async () => {
    await addSchedule(record.sql, { name: 'by-hand' })
    expect(await apply(two)).toEqual([
      { name: 'nightly', change: 'created' },
      { name: 'often', change: 'created' },
    ])
    expect(await apply(two)).toEqual([
      { name: 'nightly', change: 'unchanged' },
      { name: 'often', change: 'unchanged' },
    ])
    expect(await apply('{"often": {"type": "echo", "input": {"value": 2}, "everyMs": 6000}}')).toEqual([
      { name: 'often', change: 'changed' },
      { name: 'nightly', change: 'removed' },
    ])
    expect(await stored()).toEqual([
      ['by-hand', 'api', expect.anything()],
      ['often', 'file', { everyMs: 6000 }],
    ])
    expect(await apply('{}')).toEqual([{ name: 'often', change: 'removed' }])
  })

  it('tells what it would do, and does not, when that is asked', async () => {
    expect(await apply(two, true)).toEqual([
      { name: 'nightly', change: 'created' },
      { name: 'often', change: 'created' },
    ])
    expect(await stored()).toEqual([])
  })

  it('is applied as a whole or not at all', async () => {
    await addSchedule(record.sql, { name: 'often' })
    await expect(apply(two)).rejects.toThrow(
      'Mend schedules.yaml: often: there is one of this name already, made through the API; delete it first',
    )
    await expect(apply(two.replace('30 2', '30 25').replace('often', 'other'))).rejects.toThrow(
      /Mend schedules.yaml: nightly.cron: .*hour/,
    )
    expect(await stored()).toMatchObject([['often', 'api', {}]])
  })

  it.each([
    ['is no YAML', 'a: [', /Mend schedules.yaml/],
    ['is empty, as one that was cut off', '', /is empty/],
    ['is a list', '- a', /Mend schedules.yaml/],
    ['has a field that is none', two.replace('cron:', 'corn:'), /nightly.*corn/],
    [
      'names a type that is unknown',
      two.replace('echo', 'ecko'),
      /nightly.type: there is no job type "ecko"; known are .*echo/,
    ],
    ['names a type of the platform', two.replace('echo', 'webhook.deliver'), /nightly.type/],
    ['has an input that does not fit', two.replace('{ value: 1 }', '{}'), /nightly.input.value/],
    ['has a name that no schedule may have', two.replace('nightly', 'a b'), /a b/],
  ])('that %s is refused, with what to mend', (_what, text, message) => {
    expect(() => parseSchedules(text, catalogue, path)).toThrow(message)
  })

  it('is read from where it is', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'jobyard-schedules-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const file = join(folder, path)
    await expect(readSchedulesFile(file, catalogue)).rejects.toThrow('The schedules file cannot be read: ENOENT')
    await writeFile(file, two)
    expect((await readSchedulesFile(file, catalogue)).map(({ name }) => name)).toEqual(['nightly', 'often'])
  })
})
