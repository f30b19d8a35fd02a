import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { cancelJob } from './cancel.ts'
import { claimJobs } from './claim.ts'
import { promoteDue } from './promote.ts'
import { settleAttempts, type Settlement } from './settle.ts'

let record: TestRecord
let worker: string
beforeAll(async () => {
  record = await openRecord()
  worker = await record.addWorker()
})
afterAll(() => record.close())

async function running(): Promise<string> {
  const id = await record.addJob()
  await claimJobs(record.sql, worker, [id])
  return id
}
const completed = (id: string, epoch = 1): Settlement => ({
  id,
  epoch,
  outcome: 'completed',
  status: 'completed',
  output: '{"a":1}',
})
const failure: Pick<Settlement, 'outcome' | 'error'> = { outcome: 'failed', error: { reason: 'error', message: 'no' } }

describe('A completed attempt', () => {
  it('ends the job with its output and one event, and needs no row of its own', async () => {
    const id = await running()
    expect(await settleAttempts(record.sql, [completed(id)])).toEqual([{ id, epoch: 1, status: 'completed' }])
    expect(await record.job(id)).toMatchObject({
      status: 'completed',
      output: { a: 1 },
      attemptsMade: 1,
      error: null,
    })
    expect((await record.job(id)).finishedAt).toBeInstanceOf(Date)
    expect(await record.events(id)).toEqual(['job.completed'])
    expect(await record.attempts(id)).toEqual([])
  })

  it('keeps what jsonb would change', async () => {
    const id = await running()
    const output = String.raw`{"z":"\u0000","a":"\ud800","n":12345678901234567890}`
    await settleAttempts(record.sql, [{ ...completed(id), output }])
    const [row] = await record.sql`select output::text as output from jobs where id = ${id}`
    expect(row?.output).toBe(output)
  })

  it('changes nothing when it comes twice', async () => {
    const id = await running()
    await settleAttempts(record.sql, [completed(id)])
    expect(await settleAttempts(record.sql, [completed(id)])).toEqual([])
    expect(await record.events(id)).toEqual(['job.completed'])
    expect((await record.job(id)).attemptsMade).toBe(1)
  })

  it('is fenced by a later claim', async () => {
    const id = await running()
    await record.sql`update jobs set status = 'queued', worker_id = null, ticketed_at = now() where id = ${id}`
    await claimJobs(record.sql, worker, [id])
    expect(await settleAttempts(record.sql, [completed(id, 1)])).toEqual([])
    expect(await record.job(id)).toMatchObject({ status: 'running', epoch: 2, output: null })
  })

  it('wins over a cancellation that was asked for while it ran', async () => {
    const id = await running()
    expect(await cancelJob(record.sql, 'default', id)).toEqual({ status: 'running', changed: true })
    expect(await settleAttempts(record.sql, [completed(id)])).toMatchObject([{ status: 'completed' }])
  })
})

describe('A failed attempt', () => {
  it('makes the job wait for its next attempt, and is kept with its error', async () => {
    const id = await running()
    await settleAttempts(record.sql, [{ id, epoch: 1, ...failure, status: 'retrying', delayMs: 60_000 }])
    const job = await record.job(id)
    expect(job).toMatchObject({
      status: 'retrying',
      attemptsMade: 1,
      error: { reason: 'error', message: 'no' },
      finishedAt: null,
    })
    expect((job.runAt as Date).getTime() - Date.now()).toBeGreaterThan(55_000)
    expect(await record.attempts(id)).toEqual([{ outcome: 'failed', attempt: 1 }])
    expect(await record.events(id)).toEqual([])
  })

  it('waits a second at least', async () => {
    const id = await running()
    await settleAttempts(record.sql, [{ id, epoch: 1, ...failure, status: 'retrying', delayMs: 0 }])
    const [row] =
      await record.sql`select run_at - statement_timestamp() > interval '0.5 s' as later from jobs where id = ${id}`
    expect(row?.later).toBe(true)
  })

  it('ends the job when it was the last', async () => {
    const id = await running()
    await settleAttempts(record.sql, [{ id, epoch: 1, ...failure, status: 'failed' }])
    expect(await record.job(id)).toMatchObject({ status: 'failed', attemptsMade: 1 })
    expect(await record.events(id)).toEqual(['job.failed'])
  })

  it('becomes a cancellation where one was asked for', async () => {
    const id = await running()
    await cancelJob(record.sql, 'default', id)
    expect(await settleAttempts(record.sql, [{ id, epoch: 1, ...failure, status: 'retrying' }])).toMatchObject([
      { status: 'cancelled' },
    ])
    expect(await record.events(id)).toEqual(['job.cancelled'])
  })
})

it('spends no attempt on snoozes and cancellations', async () => {
  const [snoozed, cancelled] = [await running(), await running()]
  await settleAttempts(record.sql, [
    { id: snoozed, epoch: 1, outcome: 'snoozed', status: 'retrying', delayMs: 5_000 },
    { id: cancelled, epoch: 1, outcome: 'cancelled', status: 'cancelled' },
  ])
  expect(await record.job(snoozed)).toMatchObject({ status: 'retrying', attemptsMade: 0 })
  expect(await record.job(cancelled)).toMatchObject({ status: 'cancelled', attemptsMade: 0 })
  expect(await record.attempts(snoozed)).toEqual([{ outcome: 'snoozed', attempt: 1 }])
})

it('forgets the crashes of a job whose handler has come to an end this time, so that it has tickets again', async () => {
  const suspects = await Promise.all([1, 2, 3, 4, 5].map(() => record.addJob()))
  for (const id of suspects) await record.suspect(id)
  for (const id of suspects) await claimJobs(record.sql, worker, [id], 'suspect')
  const [failed, snoozed, told, unknown, final] = suspects as [string, string, string, string, string]
  await settleAttempts(record.sql, [
    { id: failed, epoch: 1, ...failure, status: 'retrying' },
    { id: snoozed, epoch: 1, outcome: 'snoozed', status: 'retrying' },
    { id: told, epoch: 1, outcome: 'snoozed', status: 'retrying', error: { reason: 'snoozed', message: 'closed' } },
    { id: unknown, epoch: 1, outcome: 'snoozed', status: 'retrying', error: { reason: 'no_handler', message: 'none' } },
    { id: final, epoch: 1, ...failure, status: 'failed' },
  ])
  const crashes = await Promise.all(suspects.map(async (id) => (await record.job(id)).crashes))
  expect(crashes).toEqual([0, 0, 0, 2, 2])
  await record.sql`update jobs set due_at = statement_timestamp() where id = ${failed}`
  expect(await promoteDue(record.sql)).toMatchObject([{ id: failed, crashes: 0, alone: true }])
  expect(
    await record.sql`select suspect from arrivals where ${failed} = any(job_ids) order by ticketed_at desc limit 1`,
  ).toEqual([{ suspect: false }])
})

it('settles a batch of every outcome in one statement', async () => {
  const ids = await Promise.all(Array.from({ length: 6 }, running))
  const settled = await settleAttempts(record.sql, [
    completed(ids[0]!),
    { id: ids[1]!, epoch: 1, ...failure, status: 'failed' },
    { id: ids[2]!, epoch: 1, ...failure, outcome: 'timed_out', status: 'retrying', delayMs: 1 },
    completed(ids[3]!, 7),
    completed(ids[4]!),
    completed(ids[5]!),
  ])
  expect(settled.map(({ id }) => id).toSorted()).toEqual(ids.toSpliced(3, 1).toSorted())
})

it('writes no event for internal types', async () => {
  const id = await record.addJob({ internal: true })
  await claimJobs(record.sql, worker, [id])
  await settleAttempts(record.sql, [completed(id)])
  expect(await record.events(id)).toEqual([])
})

it('cannot end a job twice even if a condition were lost: the event is unique', async () => {
  const id = await running()
  await settleAttempts(record.sql, [completed(id)])
  await record.sql`update jobs set status = 'running', finished_at = null, worker_id = ${worker} where id = ${id}`
  await expect(settleAttempts(record.sql, [completed(id)])).rejects.toMatchObject({ code: '23505' })
})
