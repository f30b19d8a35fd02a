import { setTimeout as delay } from 'node:timers/promises'
import { Caller, type JobView } from '../../load/caller.ts'
import { slowWish } from '../../load/wishes.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { heldBy } from './record.ts'

/** Within which the jobs of a dead process must run again, in milliseconds. */
const resumedWithinMs = 15_000
/** Time in which the statements of a process that was stopped have reached the record, in milliseconds. */
const inFlightMs = 300

export const killedWorkers: readonly Trial[] = [
  {
    row: 5,
    name: 'a worker is killed with −9 while its handlers run',
    run: async (context) => {
      const stage = await context.stage({ apis: 1 })
      const client = context.client(stage, { wish: slowWish(1_000), jobsPerSecond: 60, cancelPercent: 0 })
      client.start()
      await context.ledger.accepts(100)
      const { held, killedAt } = await killWithJobs(context, stage)
      await context.ledger.accepts(100)
      await context.endWell(stage)
      const caller = new Caller(() => stage.api(context.random))
      for (const { id = '' } of context.ledger.accepted) {
        judgeResumption(context, await caller.read(id), held.has(id), killedAt)
      }
    },
  },
]

/** Kills the first worker process, and knows exactly which jobs it ran then: it was stopped before. */
async function killWithJobs(context: TrialContext, stage: Stage): Promise<{ held: Set<string>; killedAt: number }> {
  const [victim] = stage.workers
  if (!victim) throw new Error('There is no worker to kill')
  await until('the worker runs something', async () => (await heldBy(stage, victim)).length >= 10)
  victim.signal('SIGSTOP')
  await delay(inFlightMs)
  const held = new Set(await heldBy(stage, victim))
  const killedAt = Date.now()
  await victim.kill()
  context.injected('worker killed mid-handler', `with ${held.size} jobs`)
  return { held, killedAt }
}

function judgeResumption(context: TrialContext, job: JobView, wasHeld: boolean, killedAt: number): void {
  const outcomes = job.attempts.map(({ outcome }) => outcome).join(', ')
  const expected = wasHeld ? 'crashed, completed' : 'completed'
  context.expect(outcomes === expected, 'I6', `Job ${job.id} went ${outcomes} instead of ${expected}`)
  if (!wasHeld) return
  const resumedMs = Date.parse(job.startedAt ?? '') - killedAt
  context.recovered('a job of a killed worker runs again', resumedMs)
  context.expect(resumedMs <= resumedWithinMs, 'row 5', `Job ${job.id} ran again only ${resumedMs} ms after the kill`)
}
