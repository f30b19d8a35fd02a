import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { newJob, openRecord, type TestRecord } from '../testing/record.ts'
import { cancelJob } from './cancel.ts'
import { connect, type Database } from './connect.ts'
import { insertOnce } from './insert-once.ts'
import type { NewJob } from './intake.ts'
import { pruneJobs } from './prune.ts'
import { redriveLeft, redriveOne } from './redrive.ts'
import { newId } from './ids.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
beforeEach(() => record.sql`truncate jobs, deduplications, idempotency_keys, arrivals, endings, outbox, search_words`)
afterAll(() => record.close())

const keyed = (deduplicationKey: string, more: Partial<NewJob> = {}) => newJob({ deduplicationKey, ...more })
const insert = (...batch: NewJob[]) => insertOnce(record.db, batch)

it('Pruning takes deduplication keys after their jobs, so that it waits for a redrive with empty hands', async () => {
  const { id } = keyed('k')
  await insert(keyed('k', { id }))
  await record.end(id, 'failed', 60)
  await record.place()
  const redrive = await record.sql.reserve()
  onTestFinished(() => redrive.release())
  await redrive`begin`
  await redrive`select from jobs where id = ${id} for update`
  const pruned = pruneJobs(record.sql, 'default', 'failed', { jobMs: 1_000, eventMs: 1_000 })
  const waiting = () => redrive`select from pg_locks where locktype = 'transactionid' and not granted`
  await expect.poll(waiting).not.toHaveLength(0)
  const keys = await redrive`select job_id from deduplications for update skip locked`
  await redrive`rollback`
  expect(keys).toEqual([{ jobId: id }])
  expect(await pruned).toBe(1)
  expect(await record.sql`select from deduplications`).toHaveLength(0)
})

describe('A deduplication key', () => {
  it.each(['queued', 'scheduled', 'running', 'retrying'])('is held by a job that is %s', async (status) => {
    const job = keyed('k', { delayMs: status === 'scheduled' ? 60_000 : undefined })
    expect(await insert(job)).toMatchObject([{ kind: 'accepted', id: job.id }])
    if (status === 'running')
      await record.sql`update jobs set status = 'running', worker_id = ${newId()}, ticketed_at = null`
    if (status === 'retrying') await record.sql`update jobs set status = 'retrying', due_at = now(), ticketed_at = null`
    expect(await insert(keyed('k'), newJob({ deduplicationKey: 'other' }))).toMatchObject([
      { kind: 'deduplicated', id: job.id, status, createdAt: (await record.job(job.id)).createdAt },
      { kind: 'accepted' },
    ])
  })

  it.each(['completed', 'failed', 'cancelled'] as const)('is free once its job is %s', async (status) => {
    const job = keyed('k')
    await insert(job)
    await record.end(job.id, status, 0)
    expect(await insert(keyed('k'))).toMatchObject([{ kind: 'accepted' }])
  })

  it('is of a tenant and a type', async () => {
    const kinds = await insert(keyed('k'), keyed('k', { tenant: 'theirs' }), keyed('k', { type: 'other' }), keyed('K'))
    expect(kinds.map(({ kind }) => kind)).toEqual(['accepted', 'accepted', 'accepted', 'accepted'])
  })

  it('makes one job of those that share it in a batch', async () => {
    const batch = [keyed('k'), keyed('l'), keyed('k'), keyed('k')]
    expect(await insert(...batch)).toMatchObject([
      { kind: 'accepted', id: batch[0]!.id },
      { kind: 'accepted', id: batch[1]!.id },
      { kind: 'deduplicated', id: batch[0]!.id },
      { kind: 'deduplicated', id: batch[0]!.id },
    ])
  })

  it('goes with its job, unless another job has it by then', async () => {
    const [gone, taken] = [keyed('gone'), keyed('taken')]
    await insert(gone, taken)
    for (const { id } of [gone, taken]) await record.end(id, 'completed', 60)
    const heir = keyed('taken')
    await insert(heir)
    await record.place()
    expect(await pruneJobs(record.sql, 'default', 'completed', { jobMs: 0, eventMs: 0 })).toBe(2)
    expect(await record.sql`select key, job_id from deduplications`).toEqual([{ key: 'taken', jobId: heir.id }])
  })
})

describe('Together with an idempotency key', () => {
  const once = (key: string, deduplicationKey: string, requestHash = 'h') =>
    keyed(deduplicationKey, { idempotency: { key, requestHash } })

  it('a replay is answered as the first request was, also with the job that there was', async () => {
    const first = once('i1', 'k')
    await insert(first)
    expect(await insert(once('i2', 'k'))).toMatchObject([{ kind: 'deduplicated', id: first.id }])
    await record.end(first.id, 'completed', 0)
    const heir = once('i3', 'k')
    expect(await insert(heir)).toMatchObject([{ kind: 'accepted', id: heir.id }])
    expect(await insert(once('i1', 'k'), once('i2', 'k'), once('i3', 'k'), once('i2', 'k', 'other'))).toMatchObject([
      { kind: 'replayed', id: first.id, status: 'queued' },
      { kind: 'deduplicated-before', id: first.id, status: 'queued' },
      { kind: 'replayed', id: heir.id },
      { kind: 'key-reused' },
    ])
  })

  it('a replay in the same batch is one, and takes no key', async () => {
    const batch = [once('i', 'k'), once('i', 'k'), once('j', 'k')]
    expect(await insert(...batch)).toMatchObject([
      { kind: 'accepted', id: batch[0]!.id },
      { kind: 'replayed', id: batch[0]!.id },
      { kind: 'deduplicated', id: batch[0]!.id },
    ])
  })
})

describe('A redrive', () => {
  const fail = async (job: NewJob) => {
    await insert(job)
    await record.end(job.id, 'failed', 0)
    return job.id
  }

  it('carries the key, and is refused while another job has it', async () => {
    const of = await fail(keyed('k'))
    const unfinished = keyed('k')
    await insert(unfinished)
    const wanted = { of, id: newId() }
    expect(await redriveOne(record.db, 'default', wanted)).toEqual({ kind: 'held', of, unfinished: unfinished.id })
    await record.end(unfinished.id, 'completed', 0)
    expect(await redriveOne(record.db, 'default', wanted)).toMatchObject({ kind: 'made', job: { id: wanted.id } })
    expect(await record.job(wanted.id)).toMatchObject({ redriveOf: of, deduplicationKey: 'k', status: 'queued' })
    expect(await insert(keyed('k'))).toMatchObject([{ kind: 'deduplicated', id: wanted.id }])
  })

  it('of many makes each once, whoever else does so', async () => {
    const ofs = await Promise.all(Array.from({ length: 20 }, () => fail(keyed(newId()))))
    const again = () =>
      redriveLeft(
        record.db.transactions,
        'default',
        ofs.map((of) => ({ of, id: newId() })),
      )
    const results = (await Promise.all([again(), again(), again()])).flat()
    expect(results.filter(({ kind }) => kind === 'made')).toHaveLength(20)
    const made = await record.sql`select redrive_of from jobs where redrive_of is not null`
    expect(made.map(({ redriveOf }) => redriveOf as string).toSorted()).toEqual(ofs.toSorted())
    for (const of of ofs) expect((await record.job(of)).redrivenAs).not.toBeNull()
    expect((await again()).every(({ kind }) => kind === 'left')).toBe(true)
  })

  it('of many passes by what another transaction holds, as a pruner does', async () => {
    const [held, free] = [await fail(newJob()), await fail(newJob())]
    const pruner = await record.sql.reserve()
    onTestFinished(() => pruner.release())
    await pruner`begin`
    await pruner`select from jobs where id = ${held} for update`
    const wanted = [held, free].map((of) => ({ of, id: newId() }))
    const redriven = redriveLeft(record.db.transactions, 'default', wanted, AbortSignal.timeout(3_000))
    const results = await redriven.catch((error: unknown) => error)
    await pruner`rollback`
    expect(results).toMatchObject([
      { kind: 'left', of: held },
      { kind: 'made', of: free },
    ])
  })

  it('of many that share a key makes one of them', async () => {
    const ofs = [await fail(keyed('k')), await fail(keyed('k'))]
    const ids = [newId(), newId()]
    const wanted = ofs.map((of, n) => ({ of, id: ids[n]! }))
    expect(await redriveLeft(record.db.transactions, 'default', wanted)).toMatchObject([
      { kind: 'made', of: ofs[0] },
      { kind: 'held', of: ofs[1], unfinished: ids[0] },
    ])
    expect((await record.job(ofs[1]!)).redrivenAs).toBeNull()
  })

  it('makes nothing of the jobs of others, and of those that have not failed', async () => {
    const theirs = await fail(newJob({ deduplicationKey: 'k', tenant: 'theirs' }))
    const live = await record.addJob()
    for (const of of [theirs, live, newId()])
      expect(await redriveOne(record.db, 'default', { of, id: newId() })).toEqual({ kind: 'left', of })
  })

  it('is done once for each idempotency key', async () => {
    const of = await fail(newJob({ tags: ['t'], deduplicationKey: 'x' }))
    const idempotency = { key: 'i', requestHash: 'h' }
    const [id, later] = [newId(), newId()]
    expect(await redriveOne(record.db, 'default', { of, id }, idempotency)).toMatchObject({ kind: 'made' })
    await record.end(id, 'completed', 0)
    expect(await redriveOne(record.db, 'default', { of, id: later }, idempotency)).toMatchObject({
      kind: 'replayed',
      id,
    })
    expect(await redriveOne(record.db, 'default', { of, id: later })).toMatchObject({ kind: 'made' })
    expect((await record.job(of)).redrivenAs).toBe(later)
    expect(await record.sql`select job_id from search_words where word = 'tag:t' order by job_id`).toHaveLength(3)
  })

  it('that is refused does not use its idempotency key up', async () => {
    const of = await fail(keyed('k'))
    const unfinished = keyed('k')
    await insert(unfinished)
    const idempotency = { key: 'i', requestHash: 'h' }
    expect(await redriveOne(record.db, 'default', { of, id: newId() }, idempotency)).toMatchObject({ kind: 'held' })
    await record.end(unfinished.id, 'completed', 0)
    expect(await redriveOne(record.db, 'default', { of, id: newId() }, idempotency)).toMatchObject({ kind: 'made' })
  })
})

describe('Whoever does what at the same time', () => {
  let databases: Database[]
  beforeAll(() => {
    databases = [1, 2, 3].map((n) => connect(record.url, { applicationName: `racer ${n}`, max: 2, maxTransactions: 2 }))
  })
  afterAll(() => Promise.all(databases.map((db) => db.close())))

  const act = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        does: fc.constant('submit' as const),
        keys: fc.array(fc.nat(2), { minLength: 1, maxLength: 4 }),
        idempotency: fc.option(fc.nat(4)),
      }),
    },
    { weight: 3, arbitrary: fc.record({ does: fc.constant('cancel' as const), pick: fc.nat(99) }) },
    {
      weight: 2,
      arbitrary: fc.record({ does: fc.constantFrom('redrive' as const, 'redriveLeft' as const), pick: fc.nat(99) }),
    },
  )

  it('a key has one unfinished job at most, and every answer names a job that there is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(act, { minLength: 2, maxLength: 8 }), { minLength: 3, maxLength: 3 }),
        async (racers) => {
          await record.sql`truncate jobs, deduplications, idempotency_keys, arrivals, endings, outbox, search_words`
          const ids: string[] = []
          const race = async (db: Database, acts: (typeof racers)[number]) => {
            for (const each of acts) {
              const of = 'pick' in each ? ids[each.pick % ids.length] : undefined
              if (each.does === 'submit') {
                const batch = each.keys.map((key, n) =>
                  keyed(
                    `k${key}`,
                    n > 0 || each.idempotency === null
                      ? {}
                      : { idempotency: { key: `i${each.idempotency}`, requestHash: `k${key}` } },
                  ),
                )
                for (const result of await insertOnce(db, batch)) if ('id' in result) ids.push(result.id)
              } else if (of !== undefined && each.does === 'cancel') await cancelJob(db.sql, 'default', of)
              else if (of !== undefined) {
                const wanted = { of, id: newId() }
                const result =
                  each.does === 'redrive'
                    ? await redriveOne(db, 'default', wanted)
                    : (await redriveLeft(db.transactions, 'default', [wanted]))[0]
                if (result?.kind === 'made') ids.push(result.job.id)
                if (result?.kind === 'held') ids.push(result.unfinished)
              }
            }
          }
          await Promise.all(racers.map((acts, n) => race(databases[n]!, acts)))
          expect(
            await record.sql`
          select one.deduplication_key from jobs one join jobs other
              on other.deduplication_key = one.deduplication_key and other.id <> one.id
                and one.created_at < coalesce(other.finished_at, 'infinity') and other.created_at < coalesce(one.finished_at, 'infinity')`,
          ).toEqual([])
          const there = await record.sql`select count(*)::int from jobs where id = any(${[...new Set(ids)]}::uuid[])`
          expect(there).toEqual([{ count: new Set(ids).size }])
          expect(
            await record.sql`select redrive_of from jobs j where redrive_of is not null
          and not exists (select from jobs old where old.id = j.redrive_of and old.redriven_as is not null)`,
          ).toEqual([])
        },
      ),
      { numRuns: 60 },
    )
  })
})
