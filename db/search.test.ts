import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { newJob, openRecord, type TestRecord } from '../testing/record.ts'
import { cancelJob } from './cancel.ts'
import { newId } from './ids.ts'
import { insertJobs, type NewJob } from './intake.ts'
import { pruneJobs } from './prune.ts'
import { listJobs, type JobFilter } from './search.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
beforeEach(() => record.sql`truncate jobs, search_words, arrivals, endings, outbox`)
afterAll(() => record.close())

async function add(...overrides: Partial<NewJob>[]): Promise<string[]> {
  const batch = overrides.map((each) => newJob(each))
  await insertJobs(record.sql, batch)
  return batch.map(({ id }) => id)
}

async function find(filter: JobFilter, limit = 50, look?: number): Promise<string[]> {
  const { jobs } = await listJobs(record.db.listings, 'default', filter, limit, look)
  return jobs.map(({ id }) => id)
}

const words = async () =>
  (await record.sql`select word from search_words order by word`).map(({ word }) => word as string)

describe('A job is found', () => {
  it('by each of its tags and fields of metadata, and by several at once', async () => {
    const [one, both, other] = await add(
      { tags: ['a'], metadata: '{"customer":"42"}' },
      { tags: ['a', 'b', 'a'], metadata: '{"customer":42,"paid":true,"price":1.5}' },
      { tags: ['b'], metadata: '{"customer":43}' },
    )
    expect(await find({ tag: 'a' })).toEqual([both, one])
    expect(await find({ metadata: { customer: '42' } })).toEqual([both, one])
    expect(await find({ metadata: { customer: '42', paid: 'true' } })).toEqual([both])
    expect(await find({ metadata: { price: '1.5' }, tag: 'b' })).toEqual([both])
    expect(await find({ metadata: { customer: '43' }, tag: 'b', queue: 'default', status: 'queued' })).toEqual([other])
    expect(await find({ metadata: { customer: '43' }, tag: 'a' })).toEqual([])
    expect(await find({ metadata: { customer: '43' }, status: 'failed' })).toEqual([])
  })

  it('by what its fields say, however they are named', async () => {
    const [mine] = await add(
      { metadata: '{"a=b":"c","~":"=","\\"":"\\\\","":"empty","é\\n":"ü"}' },
      { metadata: '{"a":"b=c"}' },
    )
    for (const metadata of [{ 'a=b': 'c' }, { '~': '=' }, { '"': '\\' }, { '': 'empty' }, { 'é\n': 'ü' }])
      expect(await find({ metadata })).toEqual([mine])
  })

  it('by its status once it has failed or was cancelled', async () => {
    const [failed, cancelled, completed] = await add({}, {}, {})
    await record.end(failed!, 'failed', 0)
    await record.end(completed!, 'completed', 0)
    await cancelJob(record.sql, 'default', cancelled!)
    expect(await find({ status: 'failed' })).toEqual([failed])
    expect(await find({ status: 'cancelled' })).toEqual([cancelled])
    expect(await find({ status: 'completed' })).toEqual([completed])
    expect(await words()).toEqual(['status:cancelled', 'status:failed'])
  })

  it('by its tenant only', async () => {
    await add({ tenant: 'theirs', type: 'mine', tags: ['a'], metadata: '{"a":1}' })
    for (const filter of [{}, { tag: 'a' }, { type: 'mine' }, { metadata: { a: '1' } }])
      expect(await find(filter)).toEqual([])
  })

  it('by the reason of its failure', async () => {
    const ids = await add({}, {}, {})
    for (const id of ids) await record.end(id, 'failed', 0)
    const reasons = ['{"reason":"timed_out"}', '{"reason":"timed_out","message":"\\u0000"}', '{"reason":"other"}']
    for (const [at, error] of reasons.entries())
      await record.sql`update jobs set error = ${error}::text::json where id = ${ids[at]!}`
    expect(await find({ status: 'failed', reason: 'timed_out' })).toEqual([ids[0]])
  })
})

it('Without tags and metadata a job has no words; with many it has as many as are bounded', async () => {
  const fields = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`f${n}`, n]))
  await add({})
  expect(await words()).toEqual([])
  const metadata = JSON.stringify({ none: null, list: [1], long: 'x'.repeat(200), ...fields })
  await add({ metadata })
  expect(await words()).toHaveLength(19)
  expect(await find({ metadata: { f0: '0' } })).toHaveLength(1)
  expect(await find({ metadata: { f25: '25' } })).toHaveLength(0)
})

it('Metadata that Postgres cannot read is stored all the same, and found by its tags', async () => {
  const ids = await add(
    { metadata: '{"a":"\\u0000","b":1}', tags: ['odd'] },
    { metadata: '{"\\ud800":"x"}', tags: ['odd'] },
    { metadata: '{"a":"\\ude00"}', tags: ['odd'] },
  )
  expect(await find({ tag: 'odd' })).toEqual(ids.toReversed())
  expect(await words()).toEqual(['tag:odd', 'tag:odd', 'tag:odd'])
  for (const id of ids) await record.end(id, 'completed', 60)
  await record.place()
  expect(await pruneJobs(record.sql, 'default', 'completed', { jobMs: 0, eventMs: 0 })).toBe(3)
})

it('Words go with their job, and no others', async () => {
  const said = { tags: ['a', 'b'], metadata: '{"x":1,"y":{"z":1}}' }
  const [completed, failed] = await add(said, said, { ...said, tenant: 'theirs' })
  await record.end(completed!, 'completed', 60)
  await record.end(failed!, 'failed', 60)
  await record.place()
  const ages = { jobMs: 0, eventMs: 0 }
  await pruneJobs(record.sql, 'default', 'completed', ages)
  expect(await words()).toHaveLength(7)
  await pruneJobs(record.sql, 'default', 'failed', ages)
  expect(await record.sql`select distinct tenant, count(*)::int from search_words group by tenant`).toEqual([
    { tenant: 'theirs', count: 3 },
  ])
})

it('A listing goes on where it was, also over pages on which nothing fits, and ends', async () => {
  const ids = await add(
    ...Array.from({ length: 23 }, (_, n) => ({ tags: ['t'], queue: n % 10 === 0 ? 'rare' : 'default' })),
  )
  const rare = ids.filter((_, n) => n % 10 === 0).toReversed()
  for (const filter of [{ queue: 'rare' }, { queue: 'rare', tag: 't' }, { queue: 'rare', type: 'echo' }]) {
    const found: string[] = []
    let pages = 0
    let before: string | undefined
    do {
      const page = await listJobs(record.db.listings, 'default', { ...filter, before }, 2, 4)
      found.push(...page.jobs.map(({ id }) => id))
      before = page.next
      pages++
    } while (before !== undefined && pages < 20)
    expect(found).toEqual(rare)
    expect(pages).toBe(6)
  }
})

it('A listing of all types is in the order of the jobs, page by page', async () => {
  const types = ['b', 'a', 'c', 'a', 'b', 'b', 'a', 'c', 'd']
  const ids = await add(...types.map((type) => ({ type })), { type: 'e', tenant: 'theirs' })
  const mine = ids.slice(0, types.length).toReversed()
  expect(await find({})).toEqual(mine)
  expect(await find({ before: mine[3] }, 3)).toEqual(mine.slice(4, 7))
  expect(await find({ type: 'b' })).toEqual(mine.filter((_, n) => types.toReversed()[n] === 'b'))
  expect(await find({ type: 'e' })).toEqual([])
})

it('A listing is bounded by when jobs were made, whatever the clock of their ids says', async () => {
  const [old, young] = await add({}, {})
  await record.sql`update jobs set created_at = created_at - interval '1 hour' where id = ${old!}`
  const halfAnHourAgo = new Date(Date.now() - 1_800_000)
  expect(await find({ createdAfter: halfAnHourAgo })).toEqual([young])
  expect(await find({ createdBefore: halfAnHourAgo })).toEqual([old])
  expect(await find({ createdAfter: halfAnHourAgo, createdBefore: halfAnHourAgo })).toEqual([])
  expect(await find({ createdAfter: new Date(Date.now() + 3 * 86_400_000) })).toEqual([])
})

it('Internal jobs are listed where their type is named', async () => {
  const [internal] = await add({ type: 'webhook.deliver', internal: true }, { id: newId(), tenant: 'theirs' })
  await record.end(internal!, 'failed', 0)
  expect(await find({})).toEqual([])
  expect(await find({ status: 'failed' })).toEqual([])
  expect(await find({ status: 'failed', type: 'webhook.deliver' })).toEqual([internal])
})
