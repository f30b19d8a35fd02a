import { carrierLink } from '../../stage/carrier.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { newEntry, seen, submitUntilAccepted, timed, warmUp } from './submission.ts'

/** Time in which a process finds out that the other end of its connections has vanished, in milliseconds. */
const foundWithinMs = 30_000

export const halfOpen: readonly Trial[] = [
  { row: 18, name: "other end of the workers' carrier connections vanishes", run: carrierOfWorkers },
  { row: 18, name: "other end of the API's carrier connections vanishes", run: carrierOfApi },
  { row: 18, name: "other end of the workers' connections to the record vanishes", run: recordOfWorkers },
  { row: 18, name: "other end of the API's connections to the record vanishes", run: recordOfApi },
]

async function carrierOfWorkers(context: TrialContext): Promise<void> {
  const stage = await openWarm(context)
  const [link, only] = carrierLink(stage.links.workers)
  link.strand(only)
  await expectFound(context, stage, "workers' carrier")
}

async function carrierOfApi(context: TrialContext): Promise<void> {
  const stage = await openWarm(context)
  const [link, only] = carrierLink(stage.links.api)
  link.strand(only)
  await expectFound(context, stage, "API's carrier")
}

async function recordOfWorkers(context: TrialContext): Promise<void> {
  const stage = await openWarm(context)
  stage.links.workers.postgres.strand('jobyard-workers')
  await expectFound(context, stage, "workers' record")
}

async function recordOfApi(context: TrialContext): Promise<void> {
  const stage = await openWarm(context)
  stage.links.api.postgres.strand('jobyard-api')
  await expectFound(context, stage, "API's record")
}

async function openWarm(context: TrialContext): Promise<Stage> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  return stage
}

/** Runs two jobs: the first shows that the silence was found, the second that things are then as they were. */
async function expectFound(context: TrialContext, stage: Stage, which: string): Promise<void> {
  context.injected(`other end vanished: ${which}`)
  await runOne(context, stage, `other end of the ${which} vanished, until a job runs`, foundWithinMs)
  await runOne(context, stage, `the same, the job after that`, foundWithinMs)
  await context.endWell(stage)
}

async function runOne(context: TrialContext, stage: Stage, what: string, withinMs: number): Promise<void> {
  const strandedAt = Date.now()
  const entry = newEntry(context)
  await submitUntilAccepted(context, stage, entry)
  const { finishedAt } = await seen(stage, entry, 'ends', (job) => job.finishedAt !== null, 120_000)
  timed(context, what, Number(finishedAt) - strandedAt, withinMs)
}
