import { afterAll, beforeAll, expect, it } from 'vitest'
import { newJob, openRecord, type TestRecord } from '../testing/record.ts'
import { isRowError } from './connect.ts'
import { newId } from './ids.ts'
import { insertJobs, type NewJob } from './intake.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

const keyed = (key: string, requestHash = 'hash') => newJob({ idempotency: { key, requestHash } })

it('stores a batch and answers in its order', async () => {
  const batch = [
    newJob({ tags: ['a', 'b,"c'] }),
    newJob({ delayMs: 60_000 }),
    newJob({ runAt: new Date(0), priority: 9 }),
  ]
  const results = await insertJobs(record.sql, batch)
  expect(results).toMatchObject([
    { kind: 'accepted', id: batch[0]!.id, status: 'queued', runAt: null },
    { kind: 'accepted', id: batch[1]!.id, status: 'scheduled' },
    { kind: 'accepted', id: batch[2]!.id, status: 'queued' },
  ])
  expect(await record.job(batch[0]!.id)).toMatchObject({ tags: ['a', 'b,"c'], status: 'queued' })
  expect((await record.job(batch[0]!.id)).ticketedAt).toBeInstanceOf(Date)
  expect((await record.job(batch[1]!.id)).ticketedAt).toBeNull()
})

it('stores what each job of a batch says, whatever its neighbours say', async () => {
  const when = new Date('2031-02-03T04:05:06.789Z')
  const differences: Partial<NewJob>[] = [
    { tenant: 'theirs' },
    { type: 'other' },
    { queue: 'elsewhere' },
    { priority: 3 },
    { runAt: when },
    { expiresAt: when },
    { maxAttempts: 2 },
    { timeoutMs: 5 },
    { tags: ['a', 'b'] },
    { tags: ['a,b'] },
    { tags: ['a'] },
    { metadata: '{"a":1}' },
    { internal: true },
    { redriveOf: newId() },
  ]
  const pairs = differences.flatMap((difference, at) => [newJob({ input: `${at}` }), newJob(difference)])
  const batch = [...pairs, newJob({ tags: ['a'] }), newJob({ tags: ['b'] })]
  await insertJobs(record.sql, batch)
  for (const { id, input, metadata, runAt = null, expiresAt = null, redriveOf = null, ...plain } of batch) {
    const json = { input: JSON.parse(input), metadata: JSON.parse(metadata) }
    expect(await record.job(id)).toMatchObject({ ...plain, ...json, runAt, expiresAt, redriveOf })
  }
})

it('delays only those that ask for it', async () => {
  const batch = [newJob(), newJob({ delayMs: 60_000 }), newJob()]
  expect(await insertJobs(record.sql, batch)).toMatchObject([
    { status: 'queued', runAt: null },
    { status: 'scheduled', runAt: expect.any(Date) },
    { status: 'queued', runAt: null },
  ])
})

it('answers a known key with the first answer, and stores nothing', async () => {
  const first = keyed('order-1')
  const [accepted] = await insertJobs(record.sql, [first])
  const [replayed] = await insertJobs(record.sql, [keyed('order-1')])
  expect(replayed).toEqual({ ...accepted, kind: 'replayed' })
})

it('refuses a key that came with another request', async () => {
  await insertJobs(record.sql, [keyed('order-2', 'one')])
  expect(await insertJobs(record.sql, [keyed('order-2', 'two')])).toEqual([{ kind: 'key-reused' }])
})

it('refuses a key that is pruned while it is looked up, and nothing else', async () => {
  await record.sql.unsafe(`
    create function prune() returns trigger language plpgsql as $$ begin return null; end $$;
    create trigger prune before insert on idempotency_keys for each row when (new.key = 'pruned') execute function prune()`)
  const results = await insertJobs(record.sql, [newJob(), keyed('pruned'), keyed('order-5')])
  await record.sql.unsafe('drop function prune cascade')
  expect(results.map(({ kind }) => kind)).toEqual(['accepted', 'key-expired', 'accepted'])
})

it('accepts the others when a key cannot be looked up', async () => {
  await insertJobs(record.sql, [keyed('order-6')])
  const failing = new Proxy(record.sql, {
    apply: (sql, _self, [text, ...values]) =>
      text.join?.('').includes('as wanted')
        ? Promise.reject(new Error('lost'))
        : Reflect.apply(sql, undefined, [text, ...values]),
  })
  const good = newJob()
  const results = await insertJobs(failing, [good, keyed('order-6')])
  expect(results).toMatchObject([
    { kind: 'accepted', id: good.id },
    { kind: 'key-unread', error: new Error('lost') },
  ])
})

it('keeps the keys of tenants apart', async () => {
  const [mine, theirs] = [keyed('order-3'), { ...keyed('order-3', 'other'), tenant: 'theirs' }]
  expect(await insertJobs(record.sql, [mine, theirs])).toMatchObject([{ kind: 'accepted' }, { kind: 'accepted' }])
})

it('makes one job of many requests with one key, within a batch and across batches', async () => {
  const batches = Array.from({ length: 10 }, () => Array.from({ length: 5 }, () => keyed('order-4')))
  const results = (await Promise.all(batches.map((batch) => insertJobs(record.sql, batch)))).flat()
  const kinds = results.map((result) => result.kind)
  expect(kinds.filter((kind) => kind === 'accepted')).toHaveLength(1)
  expect(kinds.filter((kind) => kind === 'replayed')).toHaveLength(49)
  expect(new Set(results.map((result) => 'id' in result && result.id)).size).toBe(1)
})

it('stores nothing of a batch with a row that Postgres refuses, and says that a row was to blame', async () => {
  const good = newJob()
  const error = await insertJobs(record.sql, [good, newJob({ type: 'nul\0' })]).catch((thrown: unknown) => thrown)
  expect(isRowError(error)).toBe(true)
  await expect(record.job(good.id)).rejects.toThrow('no job')
})
