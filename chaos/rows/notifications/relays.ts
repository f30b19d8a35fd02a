import { expectAllArrived } from '../../receivers/judge.ts'
import { subscribe, type Subscription } from '../../receivers/subscription.ts'
import { quickWish } from '../../load/wishes.ts'
import { Follower, serverSentEvents } from '../../load/follower.ts'
import { holdTable } from '../../stage/held-table.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import { submitAll } from '../servers/submission.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { stageWithReceivers } from './stage.ts'
import { expectWholeStream } from './whole-stream.ts'

/** How the statement begins that records how attempts ended. */
const settlement = 'with changed as ('
const workers = 'jobyard-workers'
/** Jobs of which the receiver that holds back its answers is told at once: all of them, while nothing is known about it. */
const jobs = 10
const jobsPerSecond = 100
/** Longer than the lease, and than the silence after which another process gives events their places, in milliseconds. */
const silentWithinMs = 40_000

export const relays: readonly Trial[] = [
  { row: 33, name: 'worker killed between the 2xx of receivers and the settlement', run: killed },
  { row: 33, name: 'the worker that relays is stopped, replaced, and goes on', minutes: 2, run: replaced },
]

async function killed(context: TrialContext): Promise<void> {
  const { stage, receivers } = await stageWithReceivers(context, [
    { name: 'holds back', kind: 'holds back' },
    { name: 'healthy', kind: 'healthy' },
  ])
  const follower = await follow(context, stage)
  const held = await subscribe(context, stage, receivers, 'holds back')
  const other = await subscribe(context, stage, receivers, 'healthy')
  await submitAll(
    context,
    stage,
    Array.from({ length: jobs }, () => quickWish(context.random)),
  )
  await until('the deliveries are under way', async () => (await receivers.counts()).get(held.name)?.requests === jobs)
  await until('the others are settled', async () => (await settledOf(stage, other)) === jobs)
  const endings = await holdTable(stage, 'endings')
  try {
    await receivers.release(held.name)
    const waiting = await endings.waited(workers, settlement)
    await Promise.all(stage.workers.map((worker) => worker.kill()))
    await endings.drop(waiting)
    context.injected('worker killed between 2xx and settlement', `with ${jobs} deliveries`)
  } finally {
    await endings.release()
  }
  await until('every delivery is settled', async () => (await settledOf(stage, held)) === jobs, 60_000)
  await context.endWell(stage)
  const { doubles } = await expectAllArrived(context, stage, receivers, [held, other])
  context.figures['doubles of a worker killed between 2xx and settlement'] = doubles
  context.expect(
    doubles >= jobs,
    'row 33',
    `Only ${doubles} of ${jobs} unsettled deliveries were repeated: none was unsettled`,
  )
  await expectNothingSpent(context, stage)
  await expectWholeStream(context, stage, [follower])
}

async function replaced(context: TrialContext): Promise<void> {
  const names = ['healthy 1', 'healthy 2']
  const { stage, receivers } = await stageWithReceivers(
    context,
    names.map((name) => ({ name, kind: 'healthy' })),
    { workers: 0 },
  )
  const [one, other] = [await stage.enlistApart('workers'), await stage.enlistApart('workers')]
  await one.member.start()
  const follower = await follow(context, stage)
  const subscriptions = await Promise.all(names.map((name) => subscribe(context, stage, receivers, name)))
  context.client(stage, { jobsPerSecond, batchPercent: 0, cancelPercent: 0, wish: quickWish }).start()
  await leads(stage, one)
  await context.ledger.accepts(jobsPerSecond)
  for (const [leader, next] of [
    [one, other],
    [other, one],
  ] as const) {
    leader.member.signal('SIGSTOP')
    if (!next.member.works) await next.member.start()
    await leads(stage, next)
    await context.ledger.accepts(jobsPerSecond)
    leader.member.signal('SIGCONT')
    context.injected('worker that relays stopped, replaced and continued')
    await context.ledger.accepts(5 * jobsPerSecond)
  }
  await context.endWell(stage)
  const { doubles } = await expectAllArrived(context, stage, receivers, subscriptions)
  context.figures['doubles of relays that were replaced'] = doubles
  await expectWholeStream(context, stage, [follower])
}

type Apart = Awaited<ReturnType<Stage['enlistApart']>>

/** Resolves when a process gives the events their places; it is the one that relays. */
async function leads({ db }: Stage, { links }: Apart): Promise<void> {
  await until(
    'another worker relays',
    async () => {
      const [row] = await db.sql<{ clientPort: number }[]>`
        select a.client_port from pg_locks l join pg_stat_activity a on a.pid = l.pid
        where l.locktype = 'advisory' and l.granted and a.application_name = 'jobyard-sequencer'`
      return row !== undefined && links.postgres.comesFrom(row.clientPort)
    },
    silentWithinMs,
  )
}

async function follow(context: TrialContext, stage: Stage): Promise<Follower> {
  const follower = new Follower({ name: 'reader', connect: serverSentEvents, api: () => stage.api(context.random) })
  context.afterwards(() => follower.stop())
  follower.start('0')
  return follower
}

async function settledOf({ db }: Stage, { endpointId }: Subscription): Promise<number> {
  const [row] = await db.sql<{ n: number }[]>`
    select count(*)::int as n from deliveries d join jobs j on j.id = d.job_id
    where d.endpoint_id = ${endpointId} and j.status = 'completed'`
  return row?.n ?? 0
}

/** The deliveries of the dead run again, and no attempt is charged for it. */
async function expectNothingSpent(context: TrialContext, { db }: Stage): Promise<void> {
  const [row] = await db.sql<{ n: number; crashed: number }[]>`
    select count(*) filter (where attempts_made <> 1 or crashes <> 0)::int as n,
      count(*) filter (where exists (select from attempts a where a.job_id = j.id and a.outcome = 'crashed'))::int as crashed
    from jobs j where internal`
  context.expect(row?.n === 0, 'I6', `${row?.n} deliveries paid for the death of their worker`)
  context.expect(row?.crashed === jobs, 'I6', `${row?.crashed} of ${jobs} deliveries are said to have crashed`)
}
