import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { cancelJob } from './cancel.ts'
import { claimJobs } from './claim.ts'
import { newId } from './ids.ts'
import { promoteDue, promoteJob } from './promote.ts'
import { settleAttempts } from './settle.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

async function somebodyWaitsForALock(): Promise<void> {
  const waiting = () => record.sql`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  while ((await waiting()).length === 0);
}

it.each([
  ['queued', {}],
  ['scheduled', { delayMs: 60_000 }],
])('cancels a %s job at once, with one event', async (_status, overrides) => {
  const id = await record.addJob(overrides)
  expect(await cancelJob(record.sql, 'default', id)).toEqual({ status: 'cancelled', changed: true })
  expect(await record.events(id)).toEqual(['job.cancelled'])
  expect(await cancelJob(record.sql, 'default', id)).toEqual({ status: 'cancelled', changed: false })
  expect(await record.events(id)).toEqual(['job.cancelled'])
})

it('only asks a running job', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  await claimJobs(record.sql, worker, [id])
  expect(await cancelJob(record.sql, 'default', id)).toEqual({ status: 'running', changed: true })
  expect(await record.job(id)).toMatchObject({ status: 'running', finishedAt: null })
  expect((await record.job(id)).cancelRequestedAt).toBeInstanceOf(Date)
})

it('leaves ended jobs, and those of other tenants, alone', async () => {
  const [worker, id] = [await record.addWorker(), await record.addJob()]
  expect(await cancelJob(record.sql, 'somebody else', id)).toBeUndefined()
  expect(await cancelJob(record.sql, 'default', newId())).toBeUndefined()
  await claimJobs(record.sql, worker, [id])
  await settleAttempts(record.sql, [{ id, epoch: 1, outcome: 'completed', status: 'completed', output: '1' }])
  expect(await cancelJob(record.sql, 'default', id)).toEqual({ status: 'completed', changed: false })
})

it('tells of a job that somebody else has just cancelled that it is cancelled', async () => {
  const id = await record.addJob()
  const cancels = await Promise.all(Array.from({ length: 5 }, () => cancelJob(record.sql, 'default', id)))
  expect(cancels.map((cancel) => cancel?.status)).toEqual(Array.from({ length: 5 }, () => 'cancelled'))
  expect(cancels.filter((cancel) => cancel?.changed)).toHaveLength(1)
  expect(await record.events(id)).toEqual(['job.cancelled'])
})

it('tells of a job that ends while it waits how it has ended', async () => {
  const id = await record.addJob()
  const cancel = await record.db.transactions.run(async (sql) => {
    await sql`update jobs set status = 'failed', ticketed_at = null, finished_at = clock_timestamp() where id = ${id}`
    const cancelling = cancelJob(record.sql, 'default', id)
    await expect
      .poll(
        async () =>
          (await sql`select 1 from pg_stat_activity where pg_backend_pid() = any (pg_blocking_pids(pid))`).length,
      )
      .toBe(1)
    return { cancelling }
  })
  expect(await cancel.cancelling).toEqual({ status: 'failed', changed: false })
})

it('races with claims without cancelling what has just started', async () => {
  const worker = await record.addWorker()
  for (let round = 0; round < 30; round++) {
    const id = await record.addJob()
    const [cancelled, claim] = await Promise.all([
      cancelJob(record.sql, 'default', id),
      claimJobs(record.sql, worker, [id]),
    ])
    const job = await record.job(id)
    expect(job.status).toBe(claim.jobs.length === 1 ? 'running' : 'cancelled')
    expect(cancelled?.status).toBe(job.status)
  }
})

it.each(['completed', 'cancelled'] as const)(
  'tells that the job is %s if it ended while the call waited',
  async (status) => {
    const [worker, id] = [await record.addWorker(), await record.addJob()]
    await claimJobs(record.sql, worker, [id])
    const output = status === 'completed' ? { output: '1' } : {}
    const answer = await record.db.transactions.run(async (sql) => {
      await settleAttempts(sql, [{ id, epoch: 1, outcome: status, status, ...output }])
      const waiting = cancelJob(record.sql, 'default', id)
      await somebodyWaitsForALock()
      return { waiting }
    })
    expect(await answer.waiting).toEqual({ status, changed: false })
  },
)

it('promotes what is due, earliest first, and nothing else', async () => {
  const [later, due] = [await record.addJob({ delayMs: 60_000 }), await record.addJob({ delayMs: 60_000 })]
  await record.sql`update jobs set due_at = statement_timestamp() where id = ${due}`
  expect(await promoteDue(record.sql)).toMatchObject([{ id: due, queue: 'default', crashes: 0, alone: false }])
  expect((await record.job(due)).status).toBe('queued')
  expect((await record.job(later)).status).toBe('scheduled')
})

it('promotes one job before its time, once', async () => {
  const id = await record.addJob({ delayMs: 60_000 })
  expect(await promoteJob(record.sql, 'other', id)).toBeUndefined()
  expect(await promoteJob(record.sql, 'default', id)).toMatchObject({ id })
  expect(await promoteJob(record.sql, 'default', id)).toBeUndefined()
})
