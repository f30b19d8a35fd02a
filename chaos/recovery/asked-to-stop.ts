import { slowWish } from '../load/wishes.ts'
import { submitAll, timed } from '../rows/servers/submission.ts'
import type { TrialContext } from '../rows/trial.ts'
import type { Stage } from '../stage/stage.ts'
import { until } from '../until.ts'

const jobs = 100
const graceMs = 1_000
/** Time beyond the grace in which aborted handlers may clean up, jobs go back and connections close, in milliseconds. */
const handBackMs = 1_500
/** Time from the hand-back of the jobs until they run elsewhere, in milliseconds. */
const restartedWithinMs = 1_000
/** Longer than it takes to start the next worker and to stop the one before. */
const sleepMs = 20_000

/** Asks one worker after the other to stop while it runs jobs that ignore their signals; each hands them to the next. */
export async function askedToStop(context: TrialContext, times: number): Promise<void> {
  const env = { WORKER_CONCURRENCY: String(jobs), SHUTDOWN_GRACE_MS: String(graceMs), CHAOS_DEAF: '1' }
  const stage = await context.stage({ apis: 1, workers: 1, env })
  await submitAll(
    context,
    stage,
    Array.from({ length: jobs }, () => slowWish(sleepMs)(context.random)),
  )
  for (let time = 1; time <= times; time++) {
    const leaving = stage.workers.at(-1)
    await stage.enlist('workers').start()
    await until('the jobs run', async () => (await startsOf(stage, time)).length === jobs)
    const askedAt = Date.now()
    const code = await leaving?.retire('SIGTERM')
    const endedAt = Date.now()
    context.injected('worker asked to stop with 100 deaf jobs')
    context.expect(code === 0, 'I9', `Asked to stop, a worker ended with ${code}`)
    timed(
      context,
      'worker asked to stop with 100 deaf jobs, until it has ended',
      endedAt - askedAt,
      graceMs + handBackMs,
    )
    const starts = await until('the jobs run elsewhere', async () => {
      const all = await startsOf(stage, time + 1)
      return all.length === jobs && all
    })
    timed(
      context,
      'jobs handed back, until they run elsewhere',
      Math.max(...starts) - (await handedBackAt(stage, time)),
      restartedWithinMs,
    )
  }
  await context.endWell(stage)
  await expectNothingSpent(context, stage, times)
}

/** @returns when each job was started that has been claimed so often, in milliseconds since 1970. */
async function startsOf({ db }: Stage, epoch: number): Promise<number[]> {
  const rows = await db.sql<
    { at: Date }[]
  >`select started_at as at from jobs where epoch = ${epoch} and status = 'running'`
  return rows.map(({ at }) => at.getTime())
}

/** @returns when the first job was handed back under this claim, in milliseconds since 1970. */
async function handedBackAt({ db }: Stage, epoch: number): Promise<number> {
  const [row] = await db.sql<{ at: Date }[]>`
    select min(finished_at) as at from attempts where epoch = ${epoch} and outcome = 'handed_back'`
  return Number(row?.at)
}

async function expectNothingSpent(context: TrialContext, { db }: Stage, handedBack: number): Promise<void> {
  const [row] = await db.sql<{ n: number }[]>`
    select count(*)::int as n from jobs where attempts_made <> 1 or crashes <> 0 or epoch <> ${handedBack + 1}`
  context.expect(row?.n === 0, 'I6', `${row?.n} jobs paid for being handed back`)
}
