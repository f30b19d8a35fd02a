import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { newJob, openRecord, type TestRecord } from '../testing/record.ts'
import {
  countBoardQueues,
  countFinishedByMinute,
  getBoardJob,
  listBoardJobs,
  listBoardWorkers,
  previewLimit,
  type BoardLane,
} from './board.ts'
import { cancelJob } from './cancel.ts'
import { claimJobs } from './claim.ts'
import { newId } from './ids.ts'
import { insertJobs } from './intake.ts'
import { countLimit, ensureQueues } from './queue-rows.ts'
import { settleAttempts, type Settlement } from './settle.ts'
import { insertWorker } from './worker-rows.ts'

let record: TestRecord
let queue = ''
let queues = 0
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())
beforeEach(async () => {
  queue = `board-${queues++}`
  await ensureQueues(record.sql, [queue])
})

const add = (overrides = {}) => record.addJob({ queue, ...overrides })
const list = (lane: BoardLane, page = { offset: 0, limit: 10 }, tenant = 'default') =>
  listBoardJobs(record.sql, tenant, queue, lane, page)
const ids = async (lane: BoardLane, page?: { offset: number; limit: number }) =>
  (await list(lane, page)).map((job) => job.id)

async function settled(status: Settlement['status']): Promise<string> {
  const [worker, id] = [await record.addWorker(), await add()]
  await claimJobs(record.sql, worker, [id])
  const outcome = status === 'retrying' ? 'failed' : status
  await settleAttempts(record.sql, [{ id, epoch: 1, outcome, status, output: '{}' }])
  return id
}

async function cancelled(): Promise<string> {
  const id = await add()
  await cancelJob(record.sql, 'default', id)
  return id
}

describe('countBoardQueues', () => {
  it('puts every status into one lane', async () => {
    await add()
    await add({ delayMs: 60_000 })
    await settled('retrying')
    await settled('completed')
    await settled('failed')
    await cancelled()
    await claimJobs(record.sql, await record.addWorker(), [await add()])
    const counts = (await countBoardQueues(record.sql, 'default')).find((each) => each.name === queue)
    expect(counts).toEqual({ name: queue, paused: false, queued: 1, running: 1, due: 2, completed: 1, failed: 2 })
  })

  it('counts the jobs of one tenant only', async () => {
    await add({ tenant: 'somebody else' })
    const of = async (tenant: string) =>
      (await countBoardQueues(record.sql, tenant)).find((each) => each.name === queue)
    expect(await of('default')).toMatchObject({ queued: 0 })
    expect(await of('somebody else')).toMatchObject({ queued: 1 })
  })
})

describe('listBoardJobs', () => {
  it('lists queued jobs in the order in which they start', async () => {
    const [late, first, second] = [await add({ priority: 5 }), await add(), await add()]
    expect(await ids('queued')).toEqual([first, second, late])
    expect(await ids('queued', { offset: 1, limit: 1 })).toEqual([second])
  })

  it('lists due jobs by their time', async () => {
    const [later, sooner] = [await add({ delayMs: 60_000 }), await add({ delayMs: 30_000 })]
    expect(await ids('due')).toEqual([sooner, later])
  })

  it('lists failed and cancelled jobs together, newest first, across pages', async () => {
    const [a, b, c] = [await settled('failed'), await cancelled(), await settled('failed')]
    expect(await ids('failed')).toEqual([c, b, a])
    expect(await ids('failed', { offset: 2, limit: 2 })).toEqual([a])
  })

  it('shows nothing of other tenants', async () => {
    const id = await settled('completed')
    expect(await list('completed', { offset: 0, limit: 10 }, 'somebody else')).toEqual([])
    expect(await getBoardJob(record.sql, 'somebody else', queue, id)).toBeUndefined()
    expect(await getBoardJob(record.sql, 'default', 'default', id)).toBeUndefined()
    expect(await getBoardJob(record.sql, 'default', queue, id)).toMatchObject({ id, status: 'completed' })
  })

  it('leaves long inputs to the page of the job', async () => {
    const input = JSON.stringify({ value: 'x'.repeat(previewLimit) })
    const id = await add({ input })
    expect(await list('queued')).toMatchObject([{ id, input: null, inputBytes: input.length }])
    expect(await getBoardJob(record.sql, 'default', queue, id)).toMatchObject({ input: JSON.parse(input) })
  })

  it('names the place of a running job', async () => {
    const worker = newId()
    await insertWorker(record.sql, { id: worker, host: 'build-7', pid: 12, queues: [queue], concurrency: 5 })
    await claimJobs(record.sql, worker, [await add()])
    expect(await list('running')).toMatchObject([{ workerId: worker, workerHost: 'build-7', workerPid: 12 }])
    expect(await listBoardWorkers(record.sql, queue)).toMatchObject([{ id: worker, running: 1, concurrency: 5 }])
    expect(await listBoardWorkers(record.sql, 'another')).toEqual([])
  })
})

it('counts finished jobs per minute', async () => {
  const [old] = [await settled('completed'), await settled('completed')]
  await record.sql`update endings set ended_at = date_trunc('minute', statement_timestamp()) - interval '70 s' where ${old} = any(job_ids)`
  const minutes = await countFinishedByMinute(record.sql, 'default', queue, 'completed', 60)
  expect(minutes).toHaveLength(60)
  expect(minutes.filter((each) => each.finished > 0).map((each) => each.finished)).toEqual([1, 1])
  expect(minutes.at(-3)?.finished).toBe(1)
  expect(await countFinishedByMinute(record.sql, 'default', queue, 'failed', 1)).toMatchObject([{ finished: 0 }])
})

describe('with more finished jobs than are counted', () => {
  beforeEach(async () => {
    const worker = await record.addWorker()
    const expired = Array.from({ length: countLimit + 50 }, () => newJob({ queue, expiresAt: new Date(0) }))
    for (let start = 0; start < expired.length; start += 1_000) {
      const batch = expired.slice(start, start + 1_000)
      await insertJobs(record.sql, batch)
      await claimJobs(
        record.sql,
        worker,
        batch.map((job) => job.id),
      )
    }
    await record.sql`analyze jobs`
  })

  it('stops at the limit, and finds every row through an index', async () => {
    const sql = await record.sql.reserve()
    await sql`set enable_seqscan = off`
    const scans = async () => {
      await sql`select pg_stat_force_next_flush()`
      const [row] = await sql<{ seqScan: string }[]>`select seq_scan from pg_stat_user_tables where relname = 'jobs'`
      return Number(row?.seqScan)
    }
    try {
      const before = await scans()
      const counts = await countBoardQueues(sql, 'default')
      expect(counts.find((each) => each.name === queue)).toMatchObject({ failed: countLimit })
      expect(await listBoardJobs(sql, 'default', queue, 'failed', { offset: countLimit - 10, limit: 50 })).toHaveLength(
        10,
      )
      await countFinishedByMinute(sql, 'default', queue, 'failed', 60)
      expect(await scans()).toBe(before)
    } finally {
      await sql`reset enable_seqscan`
      sql.release()
    }
  })
})
