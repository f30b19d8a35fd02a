import { Caller, type JobView } from '../../load/caller.ts'
import { slowWish } from '../../load/wishes.ts'
import type { poisons } from '../../stage/naughty/contracts.ts'
import { naughtyPrograms } from '../../stage/naughty/programs.ts'
import { readCalls } from '../../stage/naughty/witness.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { runningJobs } from './record.ts'

type Poison = (typeof poisons)[number]

/** Crashes after which a job is given up. */
const maxCrashes = 3
const smallHeap = { NODE_OPTIONS: '--max-old-space-size=128' }
/** Three leases, each with a start of a process and a look or two, in milliseconds. */
const quarantinedWithinMs = 75_000
/** The same where each process stands still until the watchdog ends it. */
const loopEndedWithinMs = 150_000

export const poison: readonly Trial[] = [
  {
    row: 28,
    name: 'handlers end their process, exhaust its memory, or leave a rejection behind',
    run: async (context) => {
      const hows: readonly Poison[] = ['exit', 'exhaust memory', 'leave a rejection', 'throw later']
      await poisonWith(context, hows, quarantinedWithinMs)
    },
  },
  {
    row: 28,
    name: 'a handler never returns, nor lets go of the event loop',
    run: (context) => poisonWith(context, ['loop'], loopEndedWithinMs),
  },
  {
    row: 28,
    name: 'an innocent suspect runs beside a poison that nobody suspects yet',
    run: async (context) => {
      const stage = await context.stage({ apis: 1, workers: 0, programs: naughtyPrograms })
      const caller = new Caller(() => stage.api(context.random))
      const sleep = { does: 'sleep', ms: 3_000, heedsSignal: true }
      const innocent = await caller.submit({ type: 'naughty', input: sleep })
      await suspect(stage, innocent)
      await stage.enlist('workers').start()
      await runningJobs(stage, 1)
      context.injected('poison: exit', 'beside an innocent suspect')
      await caller.submit({ type: 'naughty', input: { does: 'poison', how: 'exit' } })
      const [job] = await caller.ended([innocent], quarantinedWithinMs)
      context.expect(job?.status === 'completed', 'row 28', `An innocent suspect ended as ${told(job)}`)
      await context.endWell(stage)
    },
  },
]

async function poisonWith(context: TrialContext, hows: readonly Poison[], withinMs: number): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 0, programs: naughtyPrograms })
  await Promise.all([1, 2].map(() => stage.enlist('workers', smallHeap).start()))
  const caller = new Caller(() => stage.api(context.random))
  const neighbours = context.client(stage, {
    wish: slowWish(1_000),
    jobsPerSecond: 10,
    cancelPercent: 0,
    batchPercent: 0,
  })
  neighbours.start()
  await context.ledger.accepts(10)
  for (const how of hows) context.injected(`poison: ${how}`)
  const ids = await caller.submitAll(
    hows.map((how) => ({ type: 'naughty', input: { does: 'poison', how }, timeoutMs: 120_000 })),
  )
  await context.ledger.accepts(30)
  await neighbours.stop()
  const views = await caller.ended(ids, withinMs)
  for (const [index, job] of views.entries()) await judgePoison(context, stage, job, hows[index] ?? 'exit')
  const { crashLoops } = await context.endWell(stage)
  context.expect(
    crashLoops === hows.length,
    'row 28',
    `${crashLoops} jobs were given up, of which ${hows.length} are poison`,
  )
}

async function judgePoison(context: TrialContext, stage: Stage, job: JobView, how: Poison): Promise<void> {
  const ended = job.status === 'failed' && job.error?.reason === 'crash_loop'
  context.expect(ended, 'row 28', `A job that does "${how}" ended as ${told(job)}`)
  const runs = await callsOf(stage, job.id)
  context.expect(runs === maxCrashes, 'row 28', `A job that does "${how}" was run ${runs} times`)
  context.expect(job.attemptsMade === 0, 'I6', `A job that does "${how}" cost ${job.attemptsMade} attempts`)
}

/** Makes a job that waits one that has crashed its process twice. */
async function suspect({ db }: Stage, id: string): Promise<void> {
  await db.sql`update arrivals set suspect = true where ${id} = any(job_ids)`
  await db.sql`update jobs set crashes = ${maxCrashes - 1} where id = ${id}`
}

async function callsOf(stage: Stage, id: string): Promise<number> {
  return (await readCalls(stage.folder)).filter(({ jobId }) => jobId === id).length
}

function told(job: JobView | undefined): string {
  return `${job?.status} (${job?.error?.reason}), ${job?.attempts.map(({ outcome }) => outcome).join(', ')} (job ${job?.id})`
}
