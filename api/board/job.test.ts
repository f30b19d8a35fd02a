import type { BoardJobRow } from '@jobyard/db/board'
import { previewLimit } from '@jobyard/db/board'
import type { AttemptRow } from '@jobyard/db/jobs'
import { describe, expect, it } from 'vitest'
import type { JobActions } from '../job-actions.ts'
import { tellHistory } from './history.ts'
import { BoardJob } from './job.ts'

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 12, 0, second))
const noActions = {} as JobActions

const base: BoardJobRow = {
  id: '01900000-0000-7000-8000-000000000001',
  tenant: 'default',
  type: 'echo',
  queue: 'default',
  status: 'queued',
  priority: 0,
  input: { value: 1 },
  output: null,
  error: null,
  metadata: {},
  tags: [],
  internal: false,
  runAt: null,
  expiresAt: null,
  maxAttempts: 3,
  timeoutMs: 1_000,
  attemptsMade: 0,
  crashes: 0,
  epoch: 0,
  progress: null,
  progressNote: null,
  redriveOf: null,
  redrivenAs: null,
  deduplicationKey: null,
  createdAt: at(0),
  startedAt: null,
  finishedAt: null,
  workerId: null,
  workerHost: null,
  workerPid: null,
  cancelRequestedAt: null,
  ticketedAt: null,
  inputBytes: 11,
  outputBytes: null,
}
const boom = { reason: 'handler_error', message: 'boom' }
const failedOnce: AttemptRow = {
  attempt: 1,
  outcome: 'failed',
  error: boom,
  workerId: null,
  startedAt: at(1),
  finishedAt: at(3),
}
const show = (row: Partial<BoardJobRow>, attempts: AttemptRow[] = []) =>
  new BoardJob({ ...base, ...row }, attempts, noActions).toJSON()
const tell = (row: Partial<BoardJobRow>, attempts: AttemptRow[] = []) => tellHistory({ ...base, ...row }, attempts)

describe('a job on the board', () => {
  it.each([
    ['scheduled', 'delayed'],
    ['queued', 'waiting'],
    ['running', 'active'],
    ['retrying', 'delayed'],
    ['completed', 'completed'],
    ['failed', 'failed'],
    ['cancelled', 'failed'],
  ] as const)('that is %s stands under %s', async (status, tab) => {
    const job = new BoardJob({ ...base, status }, [], noActions)
    expect(await job.getState()).toBe(tab)
    expect(job.opts['status']).toBe(status)
  })

  it('counts progress to 100, with its note', () => {
    expect(show({ status: 'running', progress: 0.424 }).progress).toBe(42)
    expect(show({ status: 'running', progress: 0.5, progressNote: 'half' }).progress).toEqual({
      progress: 50,
      note: 'half',
    })
    expect(show({ status: 'completed', progress: 0.5 }).progress).toBe(100)
    expect(show({}).progress).toBe(0)
  })

  it('says when it will run only while it waits for a time', () => {
    expect(show({ status: 'retrying', runAt: at(60) })).toMatchObject({ delay: 60_000, opts: { delay: 60_000 } })
    expect(show({ status: 'completed', runAt: at(60) })).not.toHaveProperty('delay')
  })

  it('has no duration when it ended without having started', () => {
    expect(show({ status: 'cancelled', finishedAt: at(5) })).toMatchObject({
      finishedOn: null,
      failedReason: 'cancelled before it started',
    })
  })

  it('shows each failure, and why it ended where that is another reason', () => {
    const ended = { status: 'failed', attemptsMade: 1, startedAt: at(1), finishedAt: at(3) } as const
    expect(show({ ...ended, error: boom }, [failedOnce]).stacktrace).toEqual([
      'handler_error: boom\n    at attempt 1, failed, 2026-01-01T12:00:03.000Z',
    ])
    const crashLoop = { reason: 'crash_loop', message: 'Died.' }
    expect(show({ ...ended, error: crashLoop }, [failedOnce]).stacktrace.at(-1)).toBe(
      'crash_loop: Died.\n    at the end of the job, 2026-01-01T12:00:03.000Z',
    )
  })

  it('says that a long value was left out', () => {
    expect(show({ input: null, inputBytes: previewLimit + 1 }).data).toEqual({
      leftOut: '16,385 bytes; open the job to see them',
    })
    expect(show({ input: null, inputBytes: 4 }).data).toBeNull()
  })
})

describe('the history of a job', () => {
  it('tells of acceptance and waiting', () => {
    expect(tell({ ticketedAt: at(0) })).toEqual([
      '2026-01-01T12:00:00.000Z Accepted.',
      '2026-01-01T12:00:00.000Z Queued: waits for a worker.',
    ])
    expect(tell({ status: 'scheduled', runAt: at(9), expiresAt: at(20), redriveOf: 'x' })).toEqual([
      '2026-01-01T12:00:00.000Z Accepted as a redrive of x, to run at 2026-01-01T12:00:09.000Z, to expire unless it has started by 2026-01-01T12:00:20.000Z.',
    ])
  })

  it('tells of a failed attempt and the next one', () => {
    expect(tell({ status: 'retrying', attemptsMade: 1, runAt: at(9) }, [failedOnce]).slice(1)).toEqual([
      '2026-01-01T12:00:01.000Z Attempt 1 started.',
      '2026-01-01T12:00:03.000Z Attempt 1 failed after 2 s. handler_error: boom',
      '2026-01-01T12:00:09.000Z Attempt 2 becomes due.',
    ])
  })

  it('tells where a job runs, its cancellation and its latest progress', () => {
    const running = {
      status: 'running',
      startedAt: at(4),
      workerId: 'w',
      workerHost: 'build-7',
      workerPid: 12,
      cancelRequestedAt: at(5),
      progress: 0.5,
      progressNote: 'half',
    } as const
    expect(tell(running).slice(1)).toEqual([
      '2026-01-01T12:00:04.000Z Attempt 1 started on build-7, process 12.',
      '2026-01-01T12:00:05.000Z Cancellation was asked for.',
      'Latest progress: 50 %, half',
    ])
    expect(tell({ ...running, workerHost: null })[1]).toContain('worker process w, which has no heartbeat any more')
  })

  it.each([
    ['completed', 'Attempt 2 completed after 250 ms.'],
    ['failed', 'Failed. handler_error: boom'],
    ['cancelled', 'Cancelled.'],
  ] as const)('ends with how the job %s', (status, last) => {
    const finishedAt = new Date(at(4).getTime() + 250)
    const lines = tell({ status, attemptsMade: 2, startedAt: at(4), finishedAt, error: boom })
    expect(lines.at(-1)).toBe(`${finishedAt.toISOString()} ${last}`)
  })

  it('names the process that took an attempt down', () => {
    const crashed: AttemptRow = { ...failedOnce, outcome: 'crashed', error: null, workerId: 'w' }
    expect(tell({ crashes: 1 }, [crashed]).at(-1)).toBe(
      '2026-01-01T12:00:03.000Z Attempt 1 was lost with its worker process, which counts as a crash, after 2 s. Worker process w.',
    )
  })
})
