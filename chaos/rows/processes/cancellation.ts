import { setTimeout as delay } from 'node:timers/promises'
import { Caller, type Submission } from '../../load/caller.ts'
import type { Random } from '../../random.ts'
import { naughtyPrograms } from '../../stage/naughty/programs.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { runningJobs } from './record.ts'

const races = 200
const racesAtOnce = 20
/** Between two heartbeats, each of which asks for cancellations; in milliseconds. */
const pollPeriodMs = 2_000
/** Beyond it for everything else: the look itself, the handler's end, its settlement; in milliseconds. */
const marginMs = 500
const endsWithinMs = 20_000

export const cancellation: readonly Trial[] = [
  {
    row: 23,
    name: 'a cancellation races the completion of its job',
    run: async (context) => {
      const stage = await context.stage()
      const caller = new Caller(() => stage.api(context.random))
      const winners: Record<string, number> = {}
      const starts = Array.from({ length: racesAtOnce }, () => context.random.fork())
      await Promise.all(
        starts.map(async (random) => {
          for (let race = 0; race < races / racesAtOnce; race++) {
            const winner = await raceOnce(context, stage, caller, random)
            winners[winner] = (winners[winner] ?? 0) + 1
          }
        }),
      )
      for (const [winner, count] of Object.entries(winners)) context.figures[`races that ended as ${winner}`] = count
      context.expect(Object.keys(winners).length === 2, 'row 23', `All races went one way: ${JSON.stringify(winners)}`)
      await context.endWell(stage)
    },
  },
  {
    row: 24,
    name: 'a job is cancelled through an API while a worker runs it',
    run: async (context) => {
      const stage = await context.stage({ programs: naughtyPrograms })
      const caller = new Caller(() => stage.api(context.random))
      const input = { does: 'sleep', ms: 30_000, heedsSignal: true }
      const ids = await caller.submitAll(Array.from({ length: 40 }, () => ({ type: 'naughty', input })))
      await runningJobs(stage, ids.length)
      await Promise.all(ids.map((id) => cancelRunning(context, caller, id)))
      await context.endWell(stage)
    },
  },
]

/** @returns the status that the job ended with. */
async function raceOnce(context: TrialContext, stage: Stage, caller: Caller, random: Random): Promise<string> {
  const id = await caller.submit(racer(random))
  await delay(random.int(0, 40))
  context.injected('cancellation')
  const answer = await caller.cancel(id)
  const [job] = await caller.ended([id], endsWithinMs)
  const [row] = await stage.db.sql<{ status: string; events: string[]; cancelRequested: boolean }[]>`
    select status, cancel_requested_at is not null as cancel_requested,
      array(select type from outbox where job_id = ${id}) as events from jobs where id = ${id}`
  const told = answer.status === 409 ? answer.body.detail : answer.body.status
  const seen = `answer ${answer.status} ${told}, job ${job?.status}, row ${row?.status}, events ${row?.events.join(', ')}`
  const promised =
    (answer.status === 200 && row?.status === 'cancelled') ||
    (answer.status === 202 && ['cancelled', 'completed'].includes(row?.status ?? '')) ||
    (answer.status === 409 && row?.status === 'completed' && !row.cancelRequested)
  context.expect(promised, 'row 23', `The answer to a cancellation did not hold: ${seen} (job ${id})`)
  const agree = job?.status === row?.status && row?.events.join() === `job.${row?.status}`
  context.expect(agree, 'I2', `Job, row and event differ: ${seen} (job ${id})`)
  return row?.status ?? 'nothing'
}

/** A job that takes up to 30 ms; some complete within a transaction of their handler. */
function racer(random: Random): Submission {
  return random.chance(30)
    ? { type: 'github.event', input: { event: 'ping', delivery: String(random.int(0, 1_000_000_000)), payload: {} } }
    : { type: 'echo', input: { value: 1, sleepMs: random.int(0, 30) } }
}

async function cancelRunning(context: TrialContext, caller: Caller, id: string): Promise<void> {
  context.injected('cancellation')
  const askedAt = Date.now()
  const { status } = await caller.cancel(id)
  context.expect(status === 202, 'row 24', `Cancelling a running job was answered with ${status}`)
  const [job] = await caller.ended([id], endsWithinMs)
  const tookMs = Date.parse(job?.finishedAt ?? '') - askedAt
  context.recovered('a running job is cancelled', tookMs)
  context.expect(job?.status === 'cancelled', 'I2', `A cancelled job ended as ${job?.status} (job ${id})`)
  context.expect(job?.attemptsMade === 0, 'I6', `A cancellation cost ${job?.attemptsMade} attempts (job ${id})`)
  context.expect(tookMs <= pollPeriodMs + marginMs, 'row 24', `A cancellation took ${tookMs} ms (job ${id})`)
}
