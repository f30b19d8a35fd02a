import { call } from '../load/call.ts'
import { timed } from '../rows/servers/submission.ts'
import type { TrialContext } from '../rows/trial.ts'
import { ticketedJobs, ticketsCanBeMissed, wipeCarrier } from '../stage/carrier.ts'
import type { Stage } from '../stage/stage.ts'
import { until } from '../until.ts'

/** Time from a wipe until every job that waits has a ticket again, in milliseconds. */
const boundMs = 30_000
const jobs = 100_000
const batch = 1_000
/** Jobs are so slow, and slots so few, that nearly all of them wait to the end. */
const sleepMs = 300
const lookEveryMs = 250

/** Wipes the carrier again and again while jobs wait, and waits for each of them to have a ticket again. */
export async function carrierWiped(context: TrialContext, times: number): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 2, env: { WORKER_CONCURRENCY: '1' } })
  for (let sent = 0; sent < jobs; sent += batch) await submitBatch(context, stage)
  await awaitTickets(stage, 0)
  for (let time = 0; time < times; time++) {
    await ticketsCanBeMissed(stage)
    const wipedAt = Date.now()
    await wipeCarrier(stage)
    context.injected('carrier wiped with 100,000 jobs')
    await awaitTickets(stage, wipedAt)
    timed(context, 'carrier wiped, until 100,000 jobs have their tickets again', Date.now() - wipedAt, boundMs)
  }
}

async function submitBatch(context: TrialContext, stage: Stage): Promise<void> {
  const one = { type: 'echo', input: { value: 'waits', sleepMs } }
  const body = { jobs: Array<typeof one>(batch).fill(one) }
  const answer = await call(stage.api(context.random), '/v1/jobs/batch', { body })
  const accepted = answer?.body.items?.filter(({ id }) => id !== undefined).length
  context.expect(accepted === batch, 'I1', `Of ${batch} jobs ${accepted} were accepted`)
}

/** Resolves when every job that waits has a ticket, which it was given after a moment. */
async function awaitTickets(stage: Stage, since: number): Promise<void> {
  const { sql } = stage.db
  await until(
    'every job that waits has a ticket',
    async () => {
      const [old] = await sql`select from jobs where status = 'queued' and ticketed_at <= ${new Date(since)} limit 1`
      if (old) return false
      const ticketed = new Set(await ticketedJobs(stage))
      const waiting = await sql<{ id: string }[]>`select id from jobs where status = 'queued'`
      return waiting.every(({ id }) => ticketed.has(id))
    },
    120_000,
    lookEveryMs,
  )
}
