import { call } from '../../load/call.ts'
import { carrierLink, ticketedJobs } from '../../stage/carrier.ts'
import { holdTable } from '../../stage/held-table.ts'
import { Link } from '../../stage/link.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { jobsOf, newEntry, seen, submit, submitUntilAccepted, timed, warmUp } from './submission.ts'

/** Time from the death of an API to the start of a job whose ticket it has not sent, in milliseconds. */
const ticketedWithinMs = 15_000
const record = 'jobyard-api'
/** How the statement begins that accepts jobs. */
const intake = 'with item as materialized'

export const apiKilled: readonly Trial[] = [
  { row: 1, name: 'API killed after the commit, before the ticket', run: beforeTheTicket },
  { row: 2, name: 'API killed after the ticket, before the 202', run: beforeTheAnswer },
  { row: 3, name: 'API killed before the commit', run: beforeTheCommit },
  { row: 4, name: 'connection cut during COMMIT', run: duringTheCommit },
]

async function beforeTheTicket(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  const [link, only] = carrierLink(stage.links.api)
  link.freeze(only)
  const entry = newEntry(context)
  const answer = await submit(context, entry, stage.api(context.random))
  context.expect(answer?.status === 202, 'I1', `Without a carrier a job was answered with ${answer?.status}`)
  await killApi(context, stage)
  const killedAt = Date.now()
  link.heal(true)
  await submitUntilAccepted(context, stage, entry)
  const { startedAt } = await seen(stage, entry, 'starts', (job) => job.startedAt !== null)
  timed(context, 'API killed before the ticket, until it starts', Number(startedAt) - killedAt, ticketedWithinMs)
  await context.endWell(stage)
}

async function beforeTheAnswer(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  const api = stage.api(context.random) ?? ''
  const front = await Link.to(api)
  front.mute()
  const entry = newEntry(context)
  const answer = submit(context, entry, front.url(api))
  await seen(stage, entry, 'ends', ({ finishedAt }) => finishedAt !== null)
  await killApi(context, stage)
  await front.close()
  context.expect((await answer) === undefined, 'I8', 'There was an answer where none could be')
  await expectReplay(context, stage, entry)
  await context.endWell(stage)
}

async function beforeTheCommit(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 0 })
  for (const [where, strike] of [
    ['before the statement', killBeforeStatement],
    ['within the statement', killWithinStatement],
  ] as const) {
    const ticketsBefore = (await ticketedJobs(stage)).length
    const entry = newEntry(context)
    await strike(context, stage, entry)
    context.expect((await jobsOf(stage, entry)).length === 0, 'I8', `Killed ${where}, there is a job all the same`)
    const tickets = (await ticketedJobs(stage)).length - ticketsBefore
    context.expect(tickets === 0, 'I8', `Killed ${where}, there are ${tickets} tickets`)
    const answer = await submitUntilAccepted(context, stage, entry)
    context.expect(!answer.headers.has('idempotency-replayed'), 'I8', `Killed ${where}, its key was known`)
    await until('its ticket is there', async () => (await ticketedJobs(stage)).includes(answer.body.id ?? ''))
  }
  await stage.enlist('workers').start()
  await context.endWell(stage)
}

async function killBeforeStatement(context: TrialContext, stage: Stage, entry: ReturnType<typeof newEntry>) {
  const { postgres } = stage.links.api
  const api = stage.api(context.random)
  postgres.freeze(record)
  const answer = submit(context, entry, api)
  await call(api, '/livez')
  await killApi(context, stage)
  postgres.heal(true)
  await answer
}

async function killWithinStatement(context: TrialContext, stage: Stage, entry: ReturnType<typeof newEntry>) {
  const arrivals = await holdTable(stage, 'arrivals')
  try {
    const answer = submit(context, entry, stage.api(context.random))
    const pids = await arrivals.waited(record, intake)
    await killApi(context, stage)
    await arrivals.drop(pids)
    await answer
  } finally {
    await arrivals.release()
  }
}

async function duringTheCommit(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  await cutAfterCommit(context, stage)
  await cutBeforeCommit(context, stage)
  await context.endWell(stage)
}

/** The commit has happened, and its answer is lost with the connection. */
async function cutAfterCommit(context: TrialContext, stage: Stage): Promise<void> {
  const { postgres } = stage.links.api
  const arrivals = await holdTable(stage, 'arrivals')
  try {
    const entry = newEntry(context)
    const answer = submit(context, entry, stage.api(context.random))
    await arrivals.waited(record, intake)
    postgres.mute(record)
    await arrivals.release()
    await seen(stage, entry, 'is committed', () => true)
    postgres.heal(true)
    context.injected('connection cut after COMMIT')
    expectUnknown(context, await answer)
    await expectReplay(context, stage, entry)
  } finally {
    await arrivals.release()
  }
}

/** The connection is lost before the commit, which happens all the same, and a retry comes in between. */
async function cutBeforeCommit(context: TrialContext, stage: Stage): Promise<void> {
  const arrivals = await holdTable(stage, 'arrivals')
  try {
    const entry = newEntry(context)
    const answer = submit(context, entry, stage.api(context.random))
    await arrivals.waited(record, intake)
    stage.links.api.postgres.desert()
    context.injected('connection cut before COMMIT')
    expectUnknown(context, await answer)
    const replay = expectReplay(context, stage, entry)
    await arrivals.waited(record, intake, 2)
    await arrivals.release()
    await replay
  } finally {
    await arrivals.release()
  }
}

function expectUnknown(context: TrialContext, answer: Awaited<ReturnType<typeof submit>>): void {
  const told = answer && `${answer.status} ${JSON.stringify(answer.body)}`
  const { type = '', detail = '' } = answer?.body ?? {}
  const isTold = answer?.status === 503 && /unknown/.test(detail) && type.endsWith('/unavailable')
  context.expect(isTold, 'I8', `Where the outcome is unknown, the answer was ${told}`)
}

async function expectReplay(context: TrialContext, stage: Stage, entry: ReturnType<typeof newEntry>): Promise<void> {
  const answer = await submitUntilAccepted(context, stage, entry)
  const jobs = await jobsOf(stage, entry)
  context.expect(jobs.length === 1, 'I8', `The key ${entry.key} made ${jobs.length} jobs`)
  context.expect(jobs[0]?.id === answer.body.id, 'I8', `The key ${entry.key} is answered with another job`)
  context.expect(answer.headers.has('idempotency-replayed'), 'I8', `The key ${entry.key} was taken for a new one`)
}

async function killApi(context: TrialContext, stage: Stage): Promise<void> {
  await Promise.all(stage.apis.map((api) => api.kill()))
  context.injected('API killed')
}
