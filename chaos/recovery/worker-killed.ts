import { setTimeout as delay } from 'node:timers/promises'
import { awaitEnds } from '../oracle.ts'
import { slowWish } from '../load/wishes.ts'
import { submitAll, timed } from '../rows/servers/submission.ts'
import type { TrialContext } from '../rows/trial.ts'
import type { Member } from '../stage/crew.ts'
import type { Stage } from '../stage/stage.ts'
import { until } from '../until.ts'

/** Time from the death of a worker until its jobs run again, in milliseconds. */
const boundMs = 15_000
const victims = 4
const concurrency = 8
/** Long enough to run still when its worker is killed, and over when the jobs of dead workers need the slots. */
const sleepMs = 6_000
/** Time in which the jobs of a round end, in milliseconds. */
const endsWithinMs = 60_000
/** Time over which the deaths of a round are spread, in milliseconds: more than a beat. */
const spreadMs = 2_500

/** Kills workers amid their jobs, several in a round, and waits for their jobs to run elsewhere. */
export async function workerKilled(context: TrialContext, times: number): Promise<void> {
  const workers = Math.min(victims, times) + 1
  const stage = await context.stage({ apis: 1, workers, env: { WORKER_CONCURRENCY: String(concurrency) } })
  const mortal = stage.workers.slice(1)
  for (let killed = 0; killed < times; killed += mortal.length) {
    await awaitEnds(stage.db, endsWithinMs) // a job that lost its worker twice would be a suspect, and wait for its turn
    const wishes = Array.from({ length: workers * concurrency }, () => slowWish(sleepMs)(context.random))
    await submitAll(context, stage, wishes)
    await until('every worker runs jobs', async () => {
      const running = await Promise.all(mortal.map((worker) => jobsAt(stage, worker)))
      return running.every((ids) => ids.length > 0)
    })
    await Promise.all(
      mortal.map(async (worker) => {
        await delay(context.random.int(0, spreadMs))
        await killOne(context, stage, worker)
      }),
    )
    await Promise.all(mortal.map((worker) => worker.working()))
  }
  await context.endWell(stage)
}

async function killOne(context: TrialContext, stage: Stage, worker: Member): Promise<void> {
  const ids = await jobsAt(stage, worker)
  const killedAt = Date.now()
  await worker.kill()
  context.injected('worker killed', `with ${ids.length} jobs`)
  if (ids.length === 0) return
  const last = await until('the jobs run again', () => lastStart(stage, ids, killedAt), 60_000)
  timed(context, 'worker killed, until its jobs run again', last - killedAt, boundMs)
}

/** @returns the jobs that run in a worker process. */
async function jobsAt({ db }: Stage, { pid }: Member): Promise<string[]> {
  const rows = await db.sql<{ id: string }[]>`
    select j.id from workers w join jobs j on j.worker_id = w.id and j.status = 'running' where w.pid = ${pid ?? 0}`
  return rows.map(({ id }) => id)
}

/** @returns when the last of the jobs was started again, or undefined while some were not; ended ones need not be. */
async function lastStart({ db }: Stage, ids: readonly string[], since: number): Promise<number | undefined> {
  const rows = await db.sql<{ at: Date; ended: boolean }[]>`
    select started_at as at, finished_at is not null and finished_at < ${new Date(since)} as ended
    from jobs where id = any(${[...ids]}::uuid[])`
  const starts = rows.filter(({ ended }) => !ended).map(({ at }) => at.getTime())
  return starts.every((at) => at > since) ? Math.max(since, ...starts) : undefined
}
