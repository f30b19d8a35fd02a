import { carrierLink, ticketedJobs } from '../../stage/carrier.ts'
import { holdTable } from '../../stage/held-table.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { newEntry, seen, submitUntilAccepted, warmUp, type RecordedJob } from './submission.ts'

/** Time after which a ticket that was not acknowledged has come again and is gone, in milliseconds. */
const ticketGoneWithinMs = 30_000

export const workerAcknowledges: readonly Trial[] = [
  { row: 6, name: 'worker killed between settling and acknowledging', run: killed },
  { row: 7, name: 'the acknowledging connection is killed', run: cut },
]

async function killed(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  const [link, only] = carrierLink(stage.links.workers)
  await settleUnacknowledged(context, stage, () => link.freeze(only))
  await stage.workers[0]?.kill()
  context.injected('worker killed before it acknowledged')
  link.heal(true)
  await awaitTicketsGone(stage)
  await context.endWell(stage)
  await expectOneRun(context, stage)
}

async function cut(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  const [link, only] = carrierLink(stage.links.workers)
  for (const hold of ['freeze', 'mute'] as const) {
    await settleUnacknowledged(context, stage, () => link[hold](only))
    link.heal(true)
    context.injected(`acknowledging connection cut, ${hold === 'freeze' ? 'before' : 'after'} the carrier had heard`)
    await awaitTicketsGone(stage)
  }
  await context.endWell(stage)
  await expectOneRun(context, stage)
}

/** Runs a job whose ticket was fetched, but cannot be acknowledged any more. */
async function settleUnacknowledged(context: TrialContext, stage: Stage, silence: () => void): Promise<RecordedJob> {
  const claims = await holdTable(stage, 'claims')
  try {
    const entry = newEntry(context)
    await submitUntilAccepted(context, stage, entry)
    await claims.waited('jobyard-workers', 'for key share')
    silence()
    await claims.release()
    return await seen(stage, entry, 'ends', ({ finishedAt }) => finishedAt !== null)
  } finally {
    await claims.release()
  }
}

async function awaitTicketsGone(stage: Stage): Promise<void> {
  await until('every ticket is gone', async () => (await ticketedJobs(stage)).length === 0, ticketGoneWithinMs)
}

async function expectOneRun(context: TrialContext, { db }: Stage): Promise<void> {
  const again = await db.sql<RecordedJob[]>`select * from jobs where epoch <> 1`
  context.expect(again.length === 0, 'I2', `${again.length} jobs ran again, though their outcome was in the record`)
}
