import { setTimeout as delay } from 'node:timers/promises'
import { Caller, type JobView } from '../../load/caller.ts'
import { ordinaryWish } from '../../load/wishes.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Trial, TrialContext } from '../trial.ts'

const hourMs = 3_600_000
const yearMs = 365 * 24 * hourMs
/** Longer than a lease, so that whoever took clocks for time would declare somebody dead. */
const watchedMs = 13_000
const delaysMs = [0, 1_500, 4_000]
/** Time from the moment that a job is due to its start, in milliseconds. */
const lateMs = 1_500

export const clocks: readonly Trial[] = [
  {
    row: 21,
    name: 'clocks of processes differ by seconds, hours and years, and are turned',
    run: async (context) => {
      const stage = await openSkewed(context)
      const before = await workerIds(stage)
      const client = context.client(stage, { wish: ordinaryWish, jobsPerSecond: 60 })
      client.start()
      const turning = turn(context, stage)
      await checkDelays(context, stage)
      await turning
      await context.endWell(stage)
      const after = await workerIds(stage)
      context.expect(before === after, 'row 21', `Workers were declared dead by a clock: ${before} became ${after}`)
      const [row] = await stage.db.sql<
        { crashed: number }[]
      >`select count(*)::int as crashed from jobs where crashes > 0`
      context.expect(row?.crashed === 0, 'I6', `${row?.crashed} jobs were charged a crash, and nobody died`)
    },
  },
]

async function openSkewed(context: TrialContext): Promise<Stage> {
  const stage = await context.stage({ apis: 0, workers: 0 })
  const members = [
    stage.enlist('api', turnedBy(-hourMs)),
    stage.enlist('api', turnedBy(yearMs)),
    stage.enlist('workers', turnedBy(-40_000)),
    stage.enlist('workers', turnedBy(hourMs)),
    stage.enlist('workers'),
  ]
  await Promise.all(members.map((member) => member.start()))
  return stage
}

function turnedBy(ms: number): Record<string, string> {
  return { CHAOS_CLOCK_OFFSET_MS: String(ms) }
}

/** Turns the clock of the third worker a year ahead, a year back, and right. */
async function turn(context: TrialContext, stage: Stage): Promise<void> {
  for (const ms of [yearMs, -yearMs, 0]) {
    await delay(watchedMs / 3)
    context.injected('clock turned', `to ${ms} ms from the truth`)
    stage.workers[2]?.turnClock(ms)
  }
}

/** Jobs start at their time, whoever took them and whoever runs them. */
async function checkDelays(context: TrialContext, stage: Stage): Promise<void> {
  const caller = new Caller(() => stage.api(context.random))
  const input = { value: 1 }
  const inTime = delaysMs.flatMap((delayMs) => Array.from({ length: 10 }, () => ({ type: 'echo', input, delayMs })))
  const atTime = delaysMs.flatMap((delayMs) =>
    Array.from({ length: 10 }, () => ({ type: 'echo', input, runAt: new Date(Date.now() + delayMs).toISOString() })),
  )
  const ids = await caller.submitAll([...inTime, ...atTime])
  const views = await caller.ended(ids, watchedMs)
  views.forEach((job, index) => {
    const runAt = atTime[index - inTime.length]?.runAt
    const dueAt = runAt ?? Date.parse(job.createdAt) + (inTime[index]?.delayMs ?? 0)
    judgeDelay(context, job, new Date(dueAt).getTime())
  })
}

function judgeDelay(context: TrialContext, job: JobView, dueAt: number): void {
  const late = Date.parse(job.startedAt ?? '') - dueAt
  context.recovered('a job starts, after it was due', Math.max(late, 0))
  context.expect(late >= -1 && late <= lateMs, 'row 21', `A job started ${late} ms after it was due (job ${job.id})`)
}

/** Each process that is declared dead comes back under another id. */
async function workerIds({ db }: Stage): Promise<string> {
  return (await db.sql<{ id: string }[]>`select id from workers order by id`).map(({ id }) => id).join(', ')
}
