import { claimJobs } from '@jobyard/db/claim'
import { newId } from '@jobyard/db/ids'
import { insertJobs } from '@jobyard/db/intake'
import { createLogger } from '@jobyard/queues/logger'
import { defineHandler } from '@jobyard/workers/define-handler'
import { ProgressReports } from '@jobyard/workers/progress-reports'
import { runAttempt, type AttemptDependencies } from '@jobyard/workers/run-attempt'
import { Settlements } from '@jobyard/workers/settlements'
import fc from 'fast-check'
import { emptyRecord } from './ledger.ts'
import { look } from './look.ts'
import { batched, newProcess, openStage, type Stage, type WorkerProcess } from './stage.ts'
import { problemOf } from './upkeep-calls.ts'

const tenant = 'acme'
const log = createLogger('race', 'silent')

/** What races: the client's cancellation, the heartbeat that tells the worker of it, and the handler's end. */
const racers = ['cancel', 'beat', 'finish'] as const
const racePlan = fc.record({
  order: fc.shuffledSubarray([...racers], { minLength: racers.length }),
  /** Round trips to Postgres that the second and the third start later. */
  gaps: fc.tuple(fc.nat(3), fc.nat(3)),
  inTransaction: fc.boolean(),
})
type RacePlan = typeof racePlan extends fc.Arbitrary<infer Plan> ? Plan : never

export interface RaceResult {
  readonly completed: number
  readonly cancelled: number
  /** Races of which row, answers, output, effect and event do not tell the same. */
  readonly contradictions: readonly string[]
}

/**
 * Lets cancellations race with the ends of handlers, with the real API action, heartbeat and attempt, on several connections.
 *
 * @param databaseUrl migrated, and used by nobody else.
 */
export async function raceCancellations(options: {
  readonly seed: number
  readonly races: number
  readonly databaseUrl: string
}): Promise<RaceResult> {
  const stage = await openStage(options.databaseUrl)
  try {
    await emptyRecord(stage.db.sql)
    const process = newProcess(stage)
    await process.heartbeat.register()
    const contradictions: string[] = []
    const ends = { completed: 0, cancelled: 0 }
    for (const [n, plan] of fc.sample(racePlan, { seed: options.seed, numRuns: options.races }).entries()) {
      const end = await race(stage, process, plan)
      if (end.status === 'completed' || end.status === 'cancelled') ends[end.status]++
      for (const wrong of end.contradictions)
        contradictions.push(`race ${n} of seed ${options.seed}, ${JSON.stringify(plan)}: ${wrong}`)
    }
    const { violations } = await look(stage.db.sql)
    contradictions.push(...violations.map(({ invariant, what }) => `${invariant}: ${what}`))
    return { ...ends, contradictions }
  } finally {
    await stage.close()
  }
}

async function race(stage: Stage, { ownership, heartbeat }: WorkerProcess, { order, gaps, inTransaction }: RacePlan) {
  const { db, actions } = stage
  const id = await submitOne(stage)
  const { jobs } = await claimJobs(db.sql, ownership.workerId, [id])
  const [run] = ownership.adopt(jobs, ownership.workerId)
  if (!run) throw new Error(`Job ${id} was not claimed`)
  const { epoch } = run.job
  const finish = Promise.withResolvers<void>()
  const handler = defineHandler(batched, async (_input, ctx) => {
    await finish.promise
    if (!inTransaction) return { epoch }
    return ctx.transaction(async (sql) => {
      await sql`insert into effects values (${id}, ${epoch})`
      return { epoch, by: 'transaction' }
    })
  })
  const attempt = runAttempt(run, handler, dependenciesOf(stage, ownership))
  const starts = {
    cancel: () => actions.cancel(tenant, id).catch(problemOf),
    beat: () => heartbeat.runOnce(),
    finish: async () => finish.resolve(),
  }
  const racing: Promise<unknown>[] = []
  for (const [n, racer] of order.entries()) {
    for (let gap = 0; n > 0 && gap < (gaps[n - 1] ?? 0); gap++) await db.sql`select`
    racing[racers.indexOf(racer)] = starts[racer]()
  }
  const [answer] = (await Promise.all(racing)) as [string]
  await attempt
  await ownership.idle()
  return judge(await actions.get(tenant, id), answer, await eventsOf(stage, id))
}

function judge(job: { status: string; output?: unknown }, answer: string, events: readonly string[]) {
  const { status } = job
  const contradictions = [
    ...(status === 'completed' || status === 'cancelled' ? [] : [`the job is ${status}`]),
    ...(events.join() === `job.${status}` ? [] : [`the job is ${status}, its events are ${events.join()}`]),
    ...((status === 'completed') === (job.output !== undefined)
      ? []
      : [`the job is ${status}, its output ${JSON.stringify(job.output)}`]),
    ...(answer === 'running' || answer === `conflict ${status}` || answer === status
      ? []
      : [`the job is ${status}, the client was told: ${answer}`]),
  ]
  return { status, contradictions }
}

async function submitOne({ db }: Stage): Promise<string> {
  const { type, queue } = batched
  const terms = { priority: 0, maxAttempts: 3, timeoutMs: 10_000, tags: [], metadata: '{}', internal: false }
  const job = { id: newId(), tenant, type, queue, input: '{}', ...terms }
  await insertJobs(db.sql, [job])
  return job.id
}

async function eventsOf({ db }: Stage, id: string): Promise<string[]> {
  const rows = await db.sql<{ type: string }[]>`select type from outbox where job_id = ${id}`
  return rows.map(({ type }) => type)
}

function dependenciesOf({ db }: Stage, ownership: WorkerProcess['ownership']): AttemptDependencies {
  const { sql, transactions } = db
  return { ownership, settlements: new Settlements(sql, log), progress: new ProgressReports(sql), transactions, log }
}
