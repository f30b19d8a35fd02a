import { claimJobs } from '@jobyard/db/claim'
import type { Database, Sql } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { listOccurrences } from '@jobyard/db/occurrences'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { listSchedules, upsertSchedule } from '@jobyard/db/schedules'
import { settleAttempts } from '@jobyard/db/settle'
import { insertWorker } from '@jobyard/db/worker-rows'
import { nextFiring, openRule } from '@jobyard/queues/schedules/stored-rule'
import type { Random } from '../random.ts'
import type { Violation } from '../report.ts'
import { judgeSchedule, type ScheduledJob } from './judge.ts'
import { drawSchedules, type SimulatedSchedule } from './kinds.ts'
import { setClock } from './simulated-clock.ts'
import type { SimulatedWorker } from './simulated-worker.ts'

const secondMs = 1_000
const minuteMs = 60 * secondMs
const dayMs = 24 * 60 * minuteMs
const queue = 'default'
const workersAtOnce = 3
/** Occurrences and jobs of one schedule in a day, at most. */
const most = 10_000

/** What a simulated day needs. */
export interface DayOptions {
  /** Its connections see the simulated clock. */
  readonly db: Database
  readonly startWorker: () => SimulatedWorker
  /** Empties the carrier; absent where that would empty the record. */
  readonly flush?: (() => Promise<void>) | undefined
  readonly random: Random
  readonly start: Date
  readonly schedules: number
  /** Time between two looks of the workers at most, in milliseconds of that day. */
  readonly longestStepMs: number
  readonly onProgress: (line: string) => void
}

/** What a simulated day has shown. */
export interface Day {
  readonly violations: readonly Violation[]
  readonly faults: Record<string, number>
  /** Rows of occurrences by their outcome, and jobs. */
  readonly counts: Record<string, number>
}

/**
 * Lets a day pass, step by step: several workers look for what is due at the same time, die in the middle of it, and are all away for up to two hours;
 * the clock of Postgres is set forward and back; jobs take from none to half an hour. Then compares what was fired with what the rules say.
 */
export async function simulateDay(options: DayOptions): Promise<Day> {
  const { db, startWorker, flush, random, start, onProgress } = options
  const { sql } = db
  const end = start.getTime() + dayMs
  await ensureQueues(sql, [queue])
  const drawn = drawSchedules(random, options.schedules, start)
  for (const each of drawn) await addSchedule(sql, each, start)
  const runner = await startRunner(sql, random)
  const faults: Record<string, number> = {}
  const count = (fault: string) => (faults[fault] = (faults[fault] ?? 0) + 1)
  const workers = Array.from({ length: workersAtOnce }, startWorker)
  const closing: Promise<void>[] = []
  const looks: number[] = []
  let [now, steps] = [start.getTime(), 0]
  try {
    while (now < end) {
      now += random.int(secondMs, options.longestStepMs)
      if (random.chance(1) && random.chance(40)) {
        now += random.int(2, 120) * minuteMs
        count('all workers away for minutes or hours')
      }
      if (random.chance(1)) {
        now += random.pick([-1, 1]) * random.int(1, 600) * secondMs
        count('clock of Postgres set forward or back by up to ten minutes')
      }
      now = Math.max(now, start.getTime())
      await setClock(sql, new Date(now))
      if (flush && random.chance(1)) {
        await flush()
        count('Redis flushed')
      }
      const dying = random.chance(5) ? random.int(0, workersAtOnce - 1) : undefined
      const ends = await Promise.all(
        workers.map(async (worker, index) => {
          if (index !== dying) return worker.work()
          await worker.dieAtWork(sql, random.int(0, 8))
          closing.push(worker.close())
          count('worker killed while it fires')
          workers[index] = startWorker()
          return false
        }),
      )
      if (ends.includes(true)) looks.push(now)
      await runner.run()
      if (++steps % 200 === 0) onProgress(new Date(now).toISOString())
    }
    await workers[0]?.work()
    return { ...(await judge(sql, { start, end: new Date(now), looks })), faults }
  } finally {
    await Promise.all([...closing, ...workers.map((worker) => worker.close())])
  }
}

async function addSchedule(sql: Sql, drawn: SimulatedSchedule, createdAt: Date): Promise<void> {
  const { rule, jitterMs } = drawn
  const timing = { id: newId(), rule, jitterMs, createdAt }
  const run = { type: 'echo', queue, input: '{"value":1}', priority: 0, tags: [], metadata: '{}' }
  const limits = { maxAttempts: 1, timeoutMs: minuteMs }
  const next = nextFiring(timing, openRule(timing), createdAt)
  await upsertSchedule(sql, { ...drawn, ...timing, ...run, ...limits, tenant: 'default', source: 'api', next })
}

/** Runs the jobs of the day: begins all that wait, and ends some of those that run. */
async function startRunner(sql: Sql, random: Random): Promise<{ run(): Promise<void> }> {
  const workerId = newId()
  await insertWorker(sql, { id: workerId, host: 'simulated', pid: 1, queues: [queue], concurrency: 1_000 })
  const running = new Map<string, number>()
  return {
    run: async () => {
      const waiting = await sql<{ id: string }[]>`select unnest(job_ids) as id from arrivals`
      await sql`delete from arrivals`
      const { jobs } = await claimJobs(sql, workerId, waiting.map(({ id }) => id).toSorted())
      for (const { id, epoch } of jobs) running.set(id, epoch)
      const ending = [...running].filter(() => random.chance(8))
      for (const [id] of ending) running.delete(id)
      await settleAttempts(
        sql,
        ending.map(([id, epoch]) => ({
          id,
          epoch,
          outcome: 'completed' as const,
          status: 'completed' as const,
          output: '1',
        })),
      )
    },
  }
}

interface Passed {
  readonly start: Date
  readonly end: Date
  readonly looks: readonly number[]
}

async function judge(sql: Sql, passed: Passed): Promise<Pick<Day, 'violations' | 'counts'>> {
  const jobs = await sql<ScheduledJob[]>`
    select id, metadata->>'schedule' as schedule, metadata->>'occurrence' as occurrence, created_at, finished_at, cancel_requested_at from jobs`
  const jobsOf = Map.groupBy(jobs, ({ schedule }) => schedule)
  const counts: Record<string, number> = { jobs: jobs.length }
  const violations: Violation[] = []
  for (const schedule of await listSchedules(sql, 'default', { limit: most })) {
    const occurrences = await listOccurrences(sql, schedule.id, { limit: most })
    for (const { outcome, count } of occurrences) counts[outcome] = (counts[outcome] ?? 0) + (count ?? 1)
    violations.push(...judgeSchedule({ schedule, occurrences, jobs: jobsOf.get(schedule.name) ?? [], ...passed }))
  }
  return { violations, counts }
}
