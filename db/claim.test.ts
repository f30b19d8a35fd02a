import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { claimJobs, findSuspect, maxClaims } from './claim.ts'
import { newId } from './ids.ts'
import { ensureQueues, setPaused } from './queue-rows.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

it('takes a queued job, counts the claim, and returns what the attempt needs', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  const { alive, jobs } = await claimJobs(record.sql, worker, [id])
  expect(alive).toBe(true)
  expect(jobs).toMatchObject([{ id, epoch: 1, input: { value: 1 }, attemptsMade: 0, maxAttempts: 3, timeoutMs: 1_000 }])
  expect(await record.job(id)).toMatchObject({ status: 'running', workerId: worker, epoch: 1, ticketedAt: null })
})

it('takes a job that has waited for ten years', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  await record.sql`update jobs set created_at = created_at - interval '10 years' where id = ${id}`
  const { jobs } = await claimJobs(record.sql, worker, [id])
  expect(jobs.map((job) => Math.round(job.waitedMs / 86_400_000 / 365))).toEqual([10])
})

it('gives a job to one of many that claim it at once', async () => {
  const ids = await Promise.all(Array.from({ length: 20 }, () => record.addJob()))
  const workers = await Promise.all(Array.from({ length: 5 }, () => record.addWorker()))
  const claims = await Promise.all(workers.map((worker) => claimJobs(record.sql, worker, ids.toReversed())))
  expect(claims.flatMap(({ jobs }) => jobs.map((job) => job.id)).toSorted()).toEqual(ids.toSorted())
})

it('takes nothing when the worker was declared dead, and says so', async () => {
  const id = await record.addJob()
  expect(await claimJobs(record.sql, newId(), [id])).toEqual({ alive: false, jobs: [] })
  expect(await record.job(id)).toMatchObject({ status: 'queued', epoch: 0 })
})

it('says that it is alive when there is nothing to take', async () => {
  expect(await claimJobs(record.sql, await record.addWorker(), [newId()])).toEqual({ alive: true, jobs: [] })
})

it('takes nothing that is not queued', async () => {
  const worker = await record.addWorker()
  const id = await record.addJob({ delayMs: 60_000 })
  expect((await claimJobs(record.sql, worker, [id])).jobs).toEqual([])
  expect((await record.job(id)).status).toBe('scheduled')
})

it('takes nothing from a paused queue', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  await setPaused(record.sql, 'default', true)
  const { jobs } = await claimJobs(record.sql, worker, [id])
  await setPaused(record.sql, 'default', false)
  expect(jobs).toEqual([])
  expect((await record.job(id)).status).toBe('queued')
})

it('fails a job whose expiry has passed, with its event, instead of taking it', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob({ expiresAt: new Date(Date.now() - 1_000) })]
  expect(await claimJobs(record.sql, worker, [id])).toEqual({ alive: true, jobs: [] })
  expect(await record.job(id)).toMatchObject({
    status: 'failed',
    error: { reason: 'expired' },
    epoch: 0,
    attemptsMade: 0,
  })
  expect(await record.events(id)).toEqual(['job.failed'])
})

it('fails a job that was claimed a thousand times', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  await record.sql`update jobs set epoch = ${maxClaims} where id = ${id}`
  expect((await claimJobs(record.sql, worker, [id])).jobs).toEqual([])
  expect(await record.job(id)).toMatchObject({ status: 'failed', error: { reason: 'too_many_claims' } })
  expect(await record.events(id)).toEqual(['job.failed'])
})

it('waits for a row that another statement holds, and takes it when that is rolled back', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  let claim: ReturnType<typeof claimJobs> | undefined
  await record.db.transactions
    .run(async (sql) => {
      await sql`update jobs set status = 'cancelled', finished_at = now(), ticketed_at = null where id = ${id}`
      claim = claimJobs(record.sql, worker, [id])
      await waitUntilBlocked()
      throw new Error('roll back')
    })
    .catch(() => {})
  expect((await claim)?.jobs.map((job) => job.id)).toEqual([id])
})

it('cannot take anything once the reaping of its worker is under way', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  let claim: ReturnType<typeof claimJobs> | undefined
  await record.db.transactions.run(async (sql) => {
    await sql`delete from workers where id = ${worker}`
    claim = claimJobs(record.sql, worker, [id])
    await waitUntilBlocked()
  })
  expect(await claim).toEqual({ alive: false, jobs: [] })
})

it('keeps suspects and ordinary jobs apart', async () => {
  const worker = await record.addWorker()
  const [suspect, ordinary] = [await record.addJob(), await record.addJob()]
  await record.suspect(suspect)
  const both = [suspect, ordinary]
  expect((await claimJobs(record.sql, worker, both)).jobs.map((job) => job.id)).toEqual([ordinary])
  expect((await claimJobs(record.sql, worker, both, 'suspect')).jobs).toMatchObject([{ id: suspect, crashes: 2 }])
})

it('finds suspects of its queues, unless they are paused', async () => {
  const id = await record.addJob({ queue: 'suspects' })
  await ensureQueues(record.sql, ['suspects'])
  expect(await findSuspect(record.sql, ['suspects'])).toBeUndefined()
  await record.suspect(id)
  expect(await findSuspect(record.sql, ['other'])).toBeUndefined()
  expect(await findSuspect(record.sql, ['suspects', 'other'])).toBe(id)
  await setPaused(record.sql, 'suspects', true)
  expect(await findSuspect(record.sql, ['suspects'])).toBeUndefined()
})

it('finds any of the oldest suspects, so that processes that look at once rarely find the same one', async () => {
  const ids: string[] = []
  for (let count = 0; count < 21; count++) ids.push(await record.addJob({ queue: 'many' }))
  await Promise.all(ids.map((id) => record.suspect(id)))
  const found = new Set(await Promise.all(ids.flatMap(() => [1, 2, 3].map(() => findSuspect(record.sql, ['many'])))))
  expect(found.size).toBeGreaterThan(1)
  expect(found).not.toContain(ids.at(-1))
})

async function waitUntilBlocked(): Promise<void> {
  for (;;) {
    const [row] = await record.sql`select count(*)::int as blocked from pg_locks where not granted`
    if (row?.blocked > 0) return
  }
}
