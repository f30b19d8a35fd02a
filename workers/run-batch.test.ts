import type { ClaimedJob } from '@jobyard/db/claim'
import type { Settlement } from '@jobyard/db/settle'
import { defineJob } from '@jobyard/queues/define-job'
import { PermanentError, SnoozeError } from '@jobyard/queues/errors'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { defineBatchHandler, type BatchAnswers, type BatchContext, type BatchedJob } from './define-handler.ts'
import { Ownership } from './ownership.ts'
import type { AttemptDependencies } from './run-attempt.ts'
import { runBatch } from './run-batch.ts'

const contract = defineJob({
  type: 'doubled',
  description: 'Doubles numbers, several at once',
  input: z.number(),
  output: z.number(),
  retry: { initialDelayMs: 5_000, jitter: 0 },
  batch: { size: 10 },
})
type Run = (jobs: readonly BatchedJob<number>[], ctx: BatchContext<number, number>) => unknown

/** Runs a batch of jobs with these inputs, in a process that settles into a list. */
function start(inputs: readonly unknown[], run: Run, more: Partial<ClaimedJob>[] = []) {
  const ownership = new Ownership()
  const runs = ownership.adopt(
    inputs.map((input, index) => ({ ...job(String(index), input), ...more[index] })),
    ownership.workerId,
  )
  const settled = new Map<string, Settlement>()
  const settleAll = async (settlements: readonly Settlement[]) => {
    for (const settlement of settlements) settled.set(settlement.id, settlement)
    return settlements
  }
  const deps = {
    ownership,
    settlements: { settleAll },
    log: pino({ level: 'silent' }),
  } as unknown as AttemptDependencies
  const handler = defineBatchHandler(contract, async (jobs, ctx) => run(jobs, ctx) as Promise<BatchAnswers<number>>)
  return { runs, settled, ownership, ended: runBatch(runs, handler, deps) }
}

function job(id: string, input: unknown): ClaimedJob {
  const counts = { epoch: 1, crashes: 0, attemptsMade: 0, maxAttempts: 3, timeoutMs: 1_000, waitedMs: 0 }
  return { id, input, tenant: 'default', type: contract.type, queue: contract.queue, ...counts }
}

const completed = (output: number) => ({ outcome: 'completed', status: 'completed', output: String(output) })

describe('A batch', () => {
  it('is settled by the answers, each job by its own', async () => {
    const { settled, ownership, ended } = start([1, 2, 3, 4], async (jobs) =>
      jobs.map(({ input }) => {
        if (input === 2) return new Error('odd')
        if (input === 3) return new PermanentError('never', 'hopeless')
        if (input === 4) return new SnoozeError(7_000)
        return input * 2
      }),
    )
    await ended
    expect([...settled.values()]).toMatchObject([
      completed(2),
      { outcome: 'failed', status: 'retrying', delayMs: 5_000, error: { reason: 'error', message: 'odd' } },
      { outcome: 'failed', status: 'failed', error: { reason: 'hopeless' } },
      { outcome: 'snoozed', status: 'retrying', delayMs: 7_000 },
    ])
    expect(ownership.size).toBe(0)
  })

  it('that throws fails every attempt, the last one for good', async () => {
    const run = () => Promise.reject(new Error('no luck'))
    const { settled, ended } = start([1, 2], run, [{}, { attemptsMade: 2 }])
    await ended
    const error = { reason: 'error', message: 'no luck' }
    expect([...settled.values()]).toMatchObject([
      { outcome: 'failed', status: 'retrying', error },
      { outcome: 'failed', status: 'failed', error },
    ])
  })

  it.each([
    ['too few answers', [2], 'an array of 1'],
    ['too many answers', [2, 4, 6], 'an array of 3'],
    ['no array', 2, 'number'],
    ['nothing', undefined, 'undefined'],
  ])('with %s fails every attempt, and says what was wrong', async (_what, answers, found) => {
    const { settled, ended } = start([1, 2], async () => answers)
    await ended
    const message = `The handler must answer with an array of 2, one for each job; it was ${found}`
    const failed = { outcome: 'failed', status: 'retrying', error: { reason: 'batch_answer_invalid', message } }
    expect([...settled.values()]).toMatchObject([failed, failed])
  })

  it('fails a job alone whose output does not fit the contract', async () => {
    const { settled, ended } = start([1, 2], async () => [2, 'four'])
    await ended
    expect([...settled.values()]).toMatchObject([
      completed(2),
      { status: 'failed', error: { reason: 'output_invalid' } },
    ])
  })

  it('leaves out jobs whose input does not fit the contract any more', async () => {
    const { settled, ended } = start([1, 'two', 3], async (jobs) => jobs.map(({ input }) => input * 2))
    await ended
    expect(settled.get('0')).toMatchObject(completed(2))
    expect(settled.get('1')).toMatchObject({ status: 'failed', error: { reason: 'input_invalid' } })
    expect(settled.get('2')).toMatchObject(completed(6))
  })

  it('does not call its handler for nothing', async () => {
    const { settled, ended } = start(['one'], () => expect.unreachable())
    await ended
    expect(settled.get('0')).toMatchObject({ error: { reason: 'input_invalid' } })
  })

  it('tells its handler about each job', async () => {
    const seen: unknown[] = []
    const run: Run = async (jobs) => {
      for (const { jobId, tenant, attempt, input, signal } of jobs)
        seen.push({ jobId, tenant, attempt, input, aborted: signal.aborted })
      return jobs.map(() => 0)
    }
    await start([1, 2], run, [{}, { attemptsMade: 1, tenant: 'other' }]).ended
    expect(seen).toEqual([
      { jobId: '0', tenant: 'default', attempt: 1, input: 1, aborted: false },
      { jobId: '1', tenant: 'other', attempt: 2, input: 2, aborted: false },
    ])
  })
})

describe('While a batch runs', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  /** A handler that waits until the test lets it answer. */
  function waiting(): {
    run: Run
    answer: () => void
    jobs: BatchedJob<number>[]
    ctx: BatchContext<number, number>[]
  } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const jobs: BatchedJob<number>[] = []
    const ctx: BatchContext<number, number>[] = []
    const run: Run = async (given, context) => {
      jobs.push(...given)
      ctx.push(context)
      await promise
      return given.map(({ input }) => input * 2)
    }
    return { run, answer: resolve, jobs, ctx }
  }

  it('a job whose time is up is settled at once, and its late answer ignored', async () => {
    const { run, answer, jobs, ctx } = waiting()
    const { settled, ownership, ended } = start([1, 2, 3], run, [{}, { timeoutMs: 100 }, { timeoutMs: 200 }])
    await vi.advanceTimersByTimeAsync(99)
    expect(settled.size).toBe(0)
    await vi.advanceTimersByTimeAsync(1)
    expect([...settled]).toMatchObject([['1', { outcome: 'timed_out', status: 'retrying' }]])
    expect(jobs.map(({ signal }) => signal.aborted)).toEqual([false, true, false])
    await vi.advanceTimersByTimeAsync(100)
    expect(settled.get('2')).toMatchObject({ outcome: 'timed_out' })
    expect(ctx[0]?.signal.aborted).toBe(false)
    answer()
    await ended
    expect([...settled]).toMatchObject([
      ['1', { outcome: 'timed_out' }],
      ['2', { outcome: 'timed_out' }],
      ['0', completed(2)],
    ])
    expect(ownership.size).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('its own signal aborts when no job is wanted any more', async () => {
    const { run, answer, ctx } = waiting()
    const { runs, settled, ended } = start([1, 2], run)
    runs[0]?.abort('cancelled')
    await vi.advanceTimersByTimeAsync(0)
    expect([...settled]).toMatchObject([['0', { outcome: 'cancelled', status: 'cancelled' }]])
    expect(ctx[0]?.signal.aborted).toBe(false)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(settled.get('1')).toMatchObject({ outcome: 'timed_out' })
    expect(ctx[0]?.signal.aborted).toBe(true)
    answer()
    await ended
    expect(settled.size).toBe(2)
  })

  it.each(['handed_back', 'lost'] as const)('a job that is %s is left to others', async (cause) => {
    const { run, answer } = waiting()
    const { runs, settled, ownership, ended } = start([1, 2], run)
    runs[0]?.abort(cause)
    answer()
    await ended
    expect([...settled.keys()]).toEqual(['1'])
    expect(ownership.size).toBe(0)
  })
})
