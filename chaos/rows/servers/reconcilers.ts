import { ticketedJobs, ticketsCanBeMissed, wipeCarrier } from '../../stage/carrier.ts'
import { slowWish } from '../../load/wishes.ts'
import { holdTable, type WaitingStatement } from '../../stage/held-table.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { submitAll, warmUp } from './submission.ts'

/** How the statements begin that give the jobs of dead workers, and those without a ticket, back to their queue. */
const orphans = 'with candidate as materialized'
const sweep = 'with lost as materialized'
const record = 'jobyard-workers'

export const reconcilers: readonly Trial[] = [
  { row: 34, name: 'two reconcilers requeue the jobs of a dead worker, and one is killed', run: requeueing },
  { row: 34, name: 'two reconcilers find lost tickets, and one is killed', run: sweeping },
]

async function requeueing(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  const [victim] = stage.workers
  await warmUp(context, stage)
  await submitAll(context, stage, wishes(context, 30, 6_000))
  await until('the jobs run', async () => (await runningOf(stage)) === 30)
  const both = await startTwo(stage)
  const held = await holdTable(stage, 'attempts')
  try {
    await victim?.retire('SIGKILL')
    await killTheOneThat(context, both, await held.waited(record, orphans))
  } finally {
    await held.release()
  }
  await context.endWell(stage)
  await expectNoDoubleRun(context, stage)
}

async function sweeping(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 0 })
  const jobs = wishes(context, 100, 0).map((wish, count) => ({ ...wish, priority: count % 2 }))
  await submitAll(context, stage, jobs)
  await until('every ticket is sent', async () => (await ticketedJobs(stage)).length === jobs.length)
  await ticketsCanBeMissed(stage)
  await wipeCarrier(stage)
  const held = await holdTable(stage, 'arrivals')
  try {
    const both = await startTwo(stage)
    await killTheOneThat(context, both, await held.waited(record, sweep))
  } finally {
    await held.release()
  }
  await context.endWell(stage)
  await expectNoDoubleRun(context, stage)
}

const wishes = ({ random }: TrialContext, count: number, sleepMs: number) =>
  Array.from({ length: count }, () => slowWish(sleepMs)(random))

type Apart = Awaited<ReturnType<Stage['enlistApart']>>

async function startTwo(stage: Stage): Promise<Apart[]> {
  const both = [await stage.enlistApart('workers'), await stage.enlistApart('workers')]
  await Promise.all(both.map(({ member }) => member.start()))
  return both
}

/** Kills the worker whose statement waits; the statement goes on all the same, and nobody hears of it. */
async function killTheOneThat(context: TrialContext, both: readonly Apart[], [waiting]: readonly WaitingStatement[]) {
  const asking = both.find(({ links }) => links.postgres.comesFrom(waiting?.clientPort ?? 0))
  context.expect(asking !== undefined, 'I1', 'Nobody knows whose statement waits')
  await asking?.member.kill()
  context.injected('reconciler killed amid its work')
}

async function runningOf({ db }: Stage): Promise<number> {
  const [row] = await db.sql<{ n: number }[]>`select count(*)::int as n from jobs where status = 'running'`
  return row?.n ?? 0
}

/** Each claim but the last of a job was ended by a crash of its worker. */
async function expectNoDoubleRun(context: TrialContext, { db }: Stage): Promise<void> {
  const [row] = await db.sql<{ n: number }[]>`select count(*)::int as n from jobs where epoch <> crashes + 1`
  context.expect(row?.n === 0, 'I7', `${row?.n} jobs were run twice`)
}
