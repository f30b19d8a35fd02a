import { settleAttempts } from '@jobyard/db/settle'
import { defineJob } from '@jobyard/queues/define-job'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { describeOnBothCarriers, startPlatform, type CarrierKind, type Platform } from '../testing/platform.ts'
import {
  defineBatchHandler,
  defineHandler,
  type BatchAnswers,
  type BatchContext,
  type BatchedJob,
} from './define-handler.ts'
import { echo } from './handlers/echo.ts'

type Job = BatchedJob<{ n: number }>
type Ctx = BatchContext<{ n: number }, unknown>

const shapes = { description: 'for tests', input: z.strictObject({ n: z.int() }), output: z.unknown() }
const retry = { maxAttempts: 3, initialDelayMs: 1, maxDelayMs: 1 }
const together = defineJob({
  type: 'together',
  queue: 'together',
  ...shapes,
  retry,
  batch: { size: 100, maxWaitMs: 20 },
})
const oneByOne = defineJob({ type: 'one.by.one', queue: 'one-by-one', ...shapes, retry, batch: { size: 100 } })

/** What the next test wants of each batch. */
let answer: (jobs: readonly Job[], ctx: Ctx) => BatchAnswers | Promise<BatchAnswers>
/** Batches that were run, by the numbers of their jobs. */
let batches: number[][]
let running = { now: 0, most: 0, ever: 0 }
let gate: PromiseWithResolvers<void>

const handlers = [
  echo,
  defineBatchHandler(together, async (jobs, ctx) => {
    batches.push(jobs.map(({ input }) => input.n))
    return answer(jobs, ctx)
  }),
  defineHandler(oneByOne, async ({ n }) => {
    running.ever++
    running.most = Math.max(running.most, ++running.now)
    await gate.promise
    running.now--
    return n
  }),
]

let platform: Platform
function usePlatform(kind: CarrierKind) {
  beforeAll(async () => {
    platform = await startPlatform(kind, { handlers })
  })
  afterAll(() => platform.stop())
}
beforeEach(() => {
  batches = []
  running = { now: 0, most: 0, ever: 0 }
  gate = Promise.withResolvers()
  answer = (jobs) => jobs.map(({ input }) => input.n)
})

/** Submits jobs numbered from 0 in one request. @returns their ids. */
async function submit(count: number, more: Record<string, unknown> = {}): Promise<string[]> {
  const jobs = Array.from({ length: count }, (_, n) => ({ type: 'together', input: { n }, ...more }))
  const { body } = await platform.call('POST', '/v1/jobs/batch', { jobs })
  return body.items.map(({ id }: { id: string }) => id)
}
const allEnded = (ids: readonly string[]) => Promise.all(ids.map((id) => platform.ended(id)))
const allBegun = async (count: number) => {
  while (batches.flat().length < count) await new Promise((resolve) => setImmediate(resolve))
}
const attempts = ({ attempts: all }: { attempts: { outcome: string }[] }) => all.map(({ outcome }) => outcome)
const firstRun = (jobs: readonly Job[]) => jobs.every(({ attempt }) => attempt === 1)

describeOnBothCarriers('Jobs of a batched type', (kind) => {
  usePlatform(kind)

  it('run together, each once, and one that fails runs again alone', async () => {
    answer = (jobs) =>
      jobs.map(({ input, attempt }) => (input.n === 7 && attempt === 1 ? new Error('no luck') : input.n))
    const ids = await submit(300)
    const jobs = await allEnded(ids)
    expect(jobs.map(({ status, output }) => [status, output])).toEqual(ids.map((_, n) => ['completed', n]))
    expect(attempts(jobs[7])).toEqual(['failed', 'completed'])
    expect(jobs.filter(({ attemptsMade }) => attemptsMade !== 1).map(({ input }) => input.n)).toEqual([7])
    expect(batches.flat()).toHaveLength(301)
    expect(batches.at(-1)).toEqual([7])
    expect(batches.slice(0, -1).map(({ length }) => length)).toEqual([100, 100, 100])
    const [events] = await platform.db.sql`select count(*)::int as count from outbox where job_id = any(${ids}::uuid[])`
    expect(events?.count).toBe(300)
  })

  it('gather from single requests', async () => {
    const jobs = await Promise.all(Array.from({ length: 50 }, (_, n) => platform.run('together', { n })))
    expect(jobs.map(({ output }) => output)).toEqual(jobs.map((_, n) => n))
    expect(Math.max(...batches.map(({ length }) => length))).toBeGreaterThan(5)
  })

  it('can be cancelled one by one while the others run', async () => {
    answer = async (jobs) => {
      await gate.promise
      return jobs.map(({ input }) => input.n)
    }
    const ids = await submit(3)
    await allBegun(3)
    expect(await platform.call('POST', `/v1/jobs/${ids[1]}/cancel`)).toMatchObject({ status: 202 })
    expect(await platform.ended(ids[1]!)).toMatchObject({ status: 'cancelled', attemptsMade: 0 })
    expect((await platform.call('GET', `/v1/jobs/${ids[0]}`)).body.status).toBe('running')
    gate.resolve()
    expect((await allEnded(ids)).map(({ status }) => status)).toEqual(['completed', 'cancelled', 'completed'])
  })

  it('go back to their queue when their worker stops, and run elsewhere', async () => {
    const [leaving] = platform.workers
    answer = (_jobs, { signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    const ids = await submit(20)
    await allBegun(20)
    answer = (jobs) => jobs.map(({ input }) => input.n)
    await leaving?.stop(0)
    await platform.startWorkers()
    for (const job of await allEnded(ids)) expect(attempts(job)).toEqual(['handed_back', 'completed'])
    expect(batches.slice(1).map(({ length }) => length)).toEqual([20])
  })

  it('run alone after their process was declared dead, and what it answers late counts for nothing', async () => {
    answer = async (jobs) => {
      if (jobs.length === 1) return ['alone']
      await gate.promise
      return jobs.map(() => 'late')
    }
    const ids = await submit(5)
    await allBegun(5)
    await platform.db.sql`delete from workers`
    const jobs = await allEnded(ids)
    gate.resolve()
    for (const job of jobs) {
      expect(attempts(job)).toEqual(['crashed', 'completed'])
      expect(job.output).toBe('alone')
    }
    expect(batches.slice(1).map(({ length }) => length)).toEqual([1, 1, 1, 1, 1])
  })
})

describe('With an ordinary handler, jobs of a batched type', () => {
  usePlatform('postgres')

  it('run one by one, no more at once than the queue may; those that waited for their turn are handed back unseen', async () => {
    const jobs = Array.from({ length: 100 }, (_, n) => ({ type: 'one.by.one', input: { n } }))
    const { body } = await platform.call('POST', '/v1/jobs/batch', { jobs })
    const ids = body.items.map(({ id }: { id: string }) => id)
    await platform.run('echo', { value: 'meanwhile' })
    while (running.now < 10) await new Promise((resolve) => setImmediate(resolve))
    await platform.workers[0]?.stop(0)
    expect(running).toEqual({ now: 10, most: 10, ever: 10 })
    gate.resolve()
    await platform.startWorkers()
    const ended = await allEnded(ids)
    expect(ended.map(({ output }) => output)).toEqual(jobs.map(({ input }) => input.n))
    expect(running.most).toBeLessThanOrEqual(20)
    expect(running.ever).toBe(110)
  })
})

describe('The transaction of a batch', () => {
  usePlatform('postgres')
  beforeAll(() => platform.db.sql`create table marks (job_id uuid)`)
  beforeEach(() => platform.db.sql`truncate marks`)

  const mark: Parameters<Ctx['transaction']>[0] = async (sql, jobs) => {
    for (const { jobId } of jobs) await sql`insert into marks values (${jobId})`
    return jobs.map(({ input }) => input.n)
  }
  const marked = async () =>
    (await platform.db.sql<{ jobId: string }[]>`select job_id from marks order by job_id`).map(({ jobId }) => jobId)
  /** Ends a job as if somebody else had: its run is fenced from now on. */
  const end = ({ jobId }: Job) =>
    settleAttempts(platform.db.sql, [{ id: jobId, epoch: 1, outcome: 'cancelled', status: 'cancelled' }])

  it('commits what the handler wrote with the outcome of each job', async () => {
    answer = (_jobs, ctx) =>
      ctx.transaction(async (sql, jobs) =>
        (await mark(sql, jobs)).map((n) => (n === 1 && firstRun(jobs) ? new Error('odd') : n)),
      )
    const ids = await submit(3)
    const jobs = await allEnded(ids)
    expect(jobs.map(({ output }) => output)).toEqual([0, 1, 2])
    expect(attempts(jobs[1])).toEqual(['failed', 'completed'])
    expect(await marked()).toEqual([ids[0], ids[1], ids[1], ids[2]])
  })

  it('leaves nothing behind when the handler throws in it', async () => {
    answer = (_jobs, ctx) =>
      ctx.transaction(async (sql, jobs) => {
        const answers = await mark(sql, jobs)
        if (firstRun(jobs)) throw new Error('no luck')
        return answers
      })
    const ids = await submit(3)
    for (const job of await allEnded(ids)) expect(attempts(job)).toEqual(['failed', 'completed'])
    expect(await marked()).toEqual(ids)
    expect(batches.map(({ length }) => length)).toEqual([3, 1, 1, 1])
  })

  it.each<[string, (jobs: readonly Job[]) => BatchAnswers, RegExp]>([
    ['too few answers', () => [], /one for each job/],
    ['an output that cannot be stored', (jobs) => jobs.map(({ input }) => (input.n === 1 ? 1n : 0)), /because of job/],
  ])('leaves nothing behind when it gets %s', async (_what, answers, message) => {
    answer = (_jobs, ctx) => ctx.transaction(async (sql, jobs) => mark(sql, jobs).then(() => answers(jobs)))
    const ids = await submit(2, { maxAttempts: 1 })
    for (const job of await allEnded(ids)) {
      expect(job).toMatchObject({ status: 'failed', error: { reason: 'batch_answer_invalid' } })
      expect(job.error.message).toMatch(message)
    }
    expect(await marked()).toEqual([])
  })

  it('leaves out a job that is not owned any more', async () => {
    answer = async (jobs, ctx) => {
      await end(jobs[1]!)
      return ctx.transaction(mark)
    }
    const ids = await submit(3)
    expect((await allEnded(ids)).map(({ status }) => status)).toEqual(['completed', 'cancelled', 'completed'])
    expect(await marked()).toEqual([ids[0], ids[2]])
  })

  it('writes nothing when no job is owned any more', async () => {
    answer = async (jobs, ctx) => {
      await Promise.all(jobs.map(end))
      return ctx.transaction(mark)
    }
    const ids = await submit(2)
    await allEnded(ids)
    await platform.run('together', { n: 1 })
    expect(await marked()).not.toContain(ids[0])
    expect((await allEnded(ids)).map(({ status }) => status)).toEqual(['cancelled', 'cancelled'])
  })

  it('is not needed: without it, the answer to a job that is not owned any more is dropped', async () => {
    answer = async (jobs) => {
      await end(jobs[1]!)
      return jobs.map(({ input }) => input.n)
    }
    const ids = await submit(3)
    const jobs = await allEnded(ids)
    expect(jobs.map(({ status }) => status)).toEqual(['completed', 'cancelled', 'completed'])
    expect(jobs[1]).not.toHaveProperty('output')
  })

  it('settles a job whose time is up meanwhile: its row is locked until the end', async () => {
    answer = (all, ctx) =>
      ctx.transaction(async (sql, jobs) => {
        const [first] = all
        if (!first?.signal.aborted) await new Promise((resolve) => first?.signal.addEventListener('abort', resolve))
        await platform.run('echo', { value: 'nobody waits for the lock' })
        return mark(sql, jobs)
      })
    const { body } = await platform.call('POST', '/v1/jobs/batch', {
      jobs: [500, 20_000].map((timeoutMs, n) => ({ type: 'together', input: { n }, timeoutMs })),
    })
    const ids = body.items.map(({ id }: { id: string }) => id)
    for (const job of await allEnded(ids)) expect(attempts(job)).toEqual(['completed'])
    expect(await marked()).toEqual(ids)
  })

  it('is ended when the time of every job is up, so that it blocks nobody', async () => {
    answer = (_jobs, ctx) =>
      ctx.transaction(async (sql, jobs) => {
        await sql`lock table marks`
        if (firstRun(jobs)) await new Promise(() => {})
        return mark(sql, jobs)
      })
    const ids = await submit(2, { timeoutMs: 1_000 })
    for (const job of await allEnded(ids)) expect(attempts(job)).toEqual(['timed_out', 'completed'])
    expect(await marked()).toEqual(ids)
  })

  it('runs the jobs again at no cost when its connection is lost', async () => {
    let lost = false
    answer = (_jobs, ctx) =>
      ctx.transaction(async (sql, jobs) => {
        const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
        if (!lost) await platform.db.sql`select pg_terminate_backend(${row!.pid}, 5000)`
        lost = true
        return mark(sql, jobs)
      })
    const ids = await submit(3)
    for (const job of await allEnded(ids)) {
      expect(attempts(job)).toEqual(['snoozed', 'completed'])
      expect(job.attemptsMade).toBe(1)
    }
    expect(await marked()).toEqual(ids)
    expect(batches.map(({ length }) => length)).toEqual([3, 3])
  })

  it('runs the jobs again at no cost when Postgres gives it up, as in a deadlock', async () => {
    let deadlocks = 0
    answer = (_jobs, ctx) =>
      ctx.transaction(async (sql, jobs) => {
        if (deadlocks++ === 0)
          await sql.unsafe(`do $$ begin raise exception 'deadlock' using errcode = '40P01'; end $$`)
        return mark(sql, jobs)
      })
    const ids = await submit(3)
    for (const job of await allEnded(ids)) {
      expect(attempts(job)).toEqual(['snoozed', 'completed'])
      expect(job.attemptsMade).toBe(1)
    }
    expect(await marked()).toEqual(ids)
  })

  it('can be had once', async () => {
    answer = async (_jobs, ctx) => {
      await ctx.transaction(mark)
      return ctx.transaction(mark)
    }
    const ids = await submit(2)
    expect((await allEnded(ids)).map(({ status, attemptsMade }) => [status, attemptsMade])).toEqual([
      ['completed', 1],
      ['completed', 1],
    ])
    expect(await marked()).toEqual(ids)
  })
})
