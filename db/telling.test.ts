import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { claimJobs } from './claim.ts'
import { disableEndpoint } from './endpoints.ts'
import { isId } from './ids.ts'
import { reportProgress } from './progress.ts'
import { settleAttempts, type Settlement } from './settle.ts'
import { readJobEvents } from './stream.ts'
import { optInEvents, readWishes, tellsNothing, wishForEvents, type Tells } from './telling.ts'

const everything: Tells = () => true
let record: TestRecord
let worker: string
beforeAll(async () => {
  record = await openRecord()
  worker = await record.addWorker()
})
afterAll(() => record.close())
beforeEach(() => record.sql`truncate jobs, outbox, endings, endpoints, wishes`)

/** A life of a job with two attempts and a report. */
async function live(id: string, tells = everything): Promise<void> {
  const claim = () => claimJobs(record.sql, worker, [id], 'ordinary', { tells })
  const settle = (settlement: Omit<Settlement, 'id'>) => settleAttempts(record.sql, [{ id, ...settlement }], tells)
  await claim()
  await reportProgress(record.sql, [{ id, epoch: 1, fraction: 0.5, note: 'half' }], tells)
  const error = { reason: 'error', message: 'no', detail: { much: 1 } }
  await settle({ epoch: 1, outcome: 'failed', status: 'retrying', error, delayMs: 60_000 })
  await record.sql`update jobs set status = 'queued', due_at = null, ticketed_at = now() where id = ${id}`
  await claim()
  await settle({ epoch: 2, outcome: 'completed', status: 'completed', output: '1' })
}

describe('Events that are written only when somebody asks', () => {
  it('tell the life of a job, each with its number, and the end comes last', async () => {
    const id = await record.addJob()
    await live(id)
    await record.place()
    const range = { tenant: 'default', jobId: id, after: 0, limit: 10, types: optInEvents }
    const { events } = await readJobEvents(record.sql, range)
    expect(events.map(({ type, sequence, data }) => [sequence, type, data])).toEqual([
      [1, 'job.started', { status: 'running', attempt: 1, startedAt: expect.stringMatching(/^\S+T\S+\.\d{3}Z$/) }],
      [2, 'job.progress', { status: 'running', progress: 0.5, progressNote: 'half' }],
      [
        3,
        'job.retrying',
        {
          status: 'retrying',
          outcome: 'failed',
          attemptsMade: 1,
          runAt: expect.stringMatching(/Z$/),
          error: { reason: 'error', message: 'no' },
        },
      ],
      [4, 'job.started', { status: 'running', attempt: 2, startedAt: expect.any(String) }],
      [5, 'job.completed', null],
    ])
    for (const event of events) expect(isId(event.id)).toBe(true)
    const positions = events.map(({ position }) => position)
    expect(positions).toEqual(positions.map((_, index) => positions[0]! + index))
  })

  it('are not written when nobody does, nor of internal jobs', async () => {
    const [quiet, internal] = [await record.addJob(), await record.addJob({ internal: true })]
    await live(quiet, tellsNothing)
    await live(internal)
    expect(await record.sql`select from outbox where data is not null`).toHaveLength(0)
    expect((await record.sql`select told from jobs`).map(({ told }) => told as unknown)).toEqual([null, null])
  })

  it('tell of no attempt that never was', async () => {
    const expired = await record.addJob({ expiresAt: new Date(Date.now() - 1_000) })
    await claimJobs(record.sql, worker, [expired], 'ordinary', { tells: everything })
    expect(await record.events(expired)).toEqual(['job.failed'])
    const cancelled = await record.addJob()
    await claimJobs(record.sql, worker, [cancelled])
    await record.sql`update jobs set cancel_requested_at = now() where id = ${cancelled}`
    const retried = { id: cancelled, epoch: 1, outcome: 'failed', status: 'retrying' } as const
    await settleAttempts(record.sql, [retried], everything)
    expect(await record.events(cancelled)).toEqual(['job.cancelled'])
  })

  it('are asked for by enabled endpoints, and for a time by whoever reads a stream', async () => {
    expect(await readWishes(record.sql)).toEqual([])
    const { endpoint } = await addEndpoint(record.sql, { events: ['job.completed', 'job.started'] })
    expect(await readWishes(record.sql)).toEqual(['job.started'])
    await wishForEvents(record.sql, ['job.progress', 'job.started'], 60_000)
    expect((await readWishes(record.sql)).toSorted((a, b) => a.localeCompare(b))).toEqual([
      'job.progress',
      'job.started',
    ])
    await disableEndpoint(record.sql, 'default', endpoint.id)
    await wishForEvents(record.sql, ['job.progress'], 0)
    expect(await readWishes(record.sql)).toHaveLength(2)
    await record.sql`update wishes set until = now() where type = 'job.progress'`
    expect(await readWishes(record.sql)).toEqual(['job.started'])
  })
})
