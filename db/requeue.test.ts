import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { cancelJob } from './cancel.ts'
import { claimJobs } from './claim.ts'
import { handBack, requeueOrphans } from './requeue.ts'
import { beat, deleteWorker, readBeats, readOwnedRuns, reapWorker } from './worker-rows.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

async function claimed(worker: string): Promise<string> {
  const id = await record.addJob()
  await claimJobs(record.sql, worker, [id])
  return id
}

describe('Handing back', () => {
  it('returns running jobs to their queue, at no cost', async () => {
    const worker = await record.addWorker()
    const id = await claimed(worker)
    expect(await handBack(record.sql, worker)).toMatchObject([{ id, queue: 'default', priority: 0, crashes: 0 }])
    const job = await record.job(id)
    expect(job).toMatchObject({ status: 'queued', attemptsMade: 0, crashes: 0, workerId: null, finishedAt: null })
    expect(job.ticketedAt).toBeInstanceOf(Date)
    expect(await record.attempts(id)).toEqual([{ outcome: 'handed_back', attempt: 1 }])
  })

  it('leaves the jobs of others alone', async () => {
    const [mine, other] = [await record.addWorker(), await record.addWorker()]
    const id = await claimed(other)
    expect(await handBack(record.sql, mine)).toEqual([])
    expect(await handBack(record.sql, mine, [{ id, epoch: 1 }])).toEqual([])
    expect((await record.job(id)).status).toBe('running')
  })

  it('gives back exactly the claims that are named', async () => {
    const worker = await record.addWorker()
    const [named, kept] = [await claimed(worker), await claimed(worker)]
    expect(
      await handBack(record.sql, worker, [
        { id: named, epoch: 1 },
        { id: kept, epoch: 9 },
      ]),
    ).toMatchObject([{ id: named }])
    expect((await record.job(kept)).status).toBe('running')
  })

  it('does not forget a cancellation', async () => {
    const worker = await record.addWorker()
    const id = await claimed(worker)
    await cancelJob(record.sql, 'default', id)
    expect(await handBack(record.sql, worker)).toEqual([])
    expect((await record.job(id)).status).toBe('cancelled')
    expect(await record.events(id)).toEqual(['job.cancelled'])
  })
})

describe('Orphans', () => {
  it('are jobs whose worker has no row; each costs a crash and no attempt', async () => {
    const [alive, dead] = [await record.addWorker(), await record.addWorker()]
    const [kept, orphan] = [await claimed(alive), await claimed(dead)]
    await deleteWorker(record.sql, dead)
    expect(await requeueOrphans(record.sql)).toMatchObject([{ id: orphan, crashes: 1 }])
    expect(await record.job(orphan)).toMatchObject({ status: 'queued', crashes: 1, attemptsMade: 0 })
    expect(await record.attempts(orphan)).toEqual([{ outcome: 'crashed', attempt: 1 }])
    expect((await record.job(kept)).status).toBe('running')
  })

  it('cost internal jobs no crash: it is our handlers that run them', async () => {
    const worker = await record.addWorker()
    const id = await record.addJob({ internal: true })
    await claimJobs(record.sql, worker, [id])
    await deleteWorker(record.sql, worker)
    await requeueOrphans(record.sql)
    expect(await record.job(id)).toMatchObject({ status: 'queued', crashes: 0 })
    expect(await record.attempts(id)).toEqual([{ outcome: 'crashed', attempt: 1 }])
  })

  it('fail at the third crash, with one event', async () => {
    const worker = await record.addWorker()
    const id = await claimed(worker)
    await record.sql`update jobs set crashes = 2 where id = ${id}`
    await deleteWorker(record.sql, worker)
    expect(await requeueOrphans(record.sql)).toEqual([])
    expect(await record.job(id)).toMatchObject({ status: 'failed', crashes: 3, error: { reason: 'crash_loop' } })
    expect(await record.events(id)).toEqual(['job.failed'])
  })

  it('are cancelled where that was asked for', async () => {
    const worker = await record.addWorker()
    const id = await claimed(worker)
    await cancelJob(record.sql, 'default', id)
    await deleteWorker(record.sql, worker)
    expect(await requeueOrphans(record.sql)).toEqual([])
    expect((await record.job(id)).status).toBe('cancelled')
  })

  it('are requeued once by many that look at once', async () => {
    const worker = await record.addWorker()
    const ids = await Promise.all(Array.from({ length: 10 }, () => claimed(worker)))
    await deleteWorker(record.sql, worker)
    const requeued = await Promise.all(Array.from({ length: 4 }, () => requeueOrphans(record.sql)))
    expect(
      requeued
        .flat()
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(ids.toSorted())
  })
})

describe('A worker row', () => {
  it('beats while it is there, and tells when it is gone', async () => {
    const worker = await record.addWorker()
    expect(await beat(record.sql, worker)).toBe(true)
    await deleteWorker(record.sql, worker)
    expect(await beat(record.sql, worker)).toBe(false)
  })

  it('is reaped only if it has not beaten since it was seen', async () => {
    const worker = await record.addWorker()
    const seen = (await readBeats(record.sql)).find(({ id }) => id === worker)!
    await beat(record.sql, worker)
    expect(await reapWorker(record.sql, seen)).toBe(false)
    expect(await reapWorker(record.sql, { ...seen, beat: '1' })).toBe(true)
  })

  it('knows its running jobs and which of them are to be cancelled', async () => {
    const worker = await record.addWorker()
    const [first, second] = [await claimed(worker), await claimed(worker)]
    await cancelJob(record.sql, 'default', second)
    const rows = await readOwnedRuns(record.sql, worker)
    expect(rows.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
      { id: first, epoch: 1, cancelRequested: false },
      { id: second, epoch: 1, cancelRequested: true },
    ])
  })
})
