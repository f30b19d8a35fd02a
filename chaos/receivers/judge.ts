import type { Entry } from '../load/ledger.ts'
import type { TrialContext } from '../rows/trial.ts'
import type { Stage } from '../stage/stage.ts'
import { until } from '../until.ts'
import type { Reading } from './desk.ts'
import type { Receivers } from './receivers.ts'
import { wantedOf, type Subscription } from './subscription.ts'

/** What came to those endpoints that had to get all that they wanted. */
export interface Arrived {
  /** Events that were wanted and came, counted for each endpoint. */
  readonly events: number
  /** Requests beyond the first one that was taken, for each of them. */
  readonly doubles: number
  readonly lags: readonly Lag[]
}

/** How late an event came first. */
export interface Lag {
  /** When it came, in milliseconds since 1970. */
  readonly at: number
  /** Time since the end of its job, in milliseconds. */
  readonly ms: number
}

/** Events of one endpoint that are told of when they are missing. */
const toldOfEach = 3
const lookEveryMs = 250

/** Waits until all has come that has to, `withinMs` milliseconds at most, and judges what came. */
export async function expectAllArrived(
  context: TrialContext,
  stage: Stage,
  receivers: Receivers,
  subscriptions: readonly Subscription[],
  withinMs = 60_000,
): Promise<Arrived> {
  const { accepted } = context.ledger
  const areAllThere = async () => (await shareArrived(receivers, subscriptions, accepted)) === 1
  await until('every event arrives', areAllThere, withinMs, lookEveryMs).catch(
    () => {}, // what is missing is told of below
  )
  const known = new Set(accepted.flatMap(({ id }) => id ?? []))
  let [events, doubles, missing] = [0, 0, 0]
  const lags: Lag[] = []
  for (const subscription of subscriptions) {
    const reading = await receivers.read(subscription.name)
    judgeReading(context, subscription, reading, known)
    if (!subscription.mustGetAll) continue
    const taken = reading.arrivals.filter((arrival) => arrival.taken > 0)
    events += taken.length
    doubles += taken.reduce((sum, arrival) => sum + arrival.taken - 1, 0)
    for (const {
      times: [at = 0],
      lagMs,
    } of taken)
      lags.push({ at, ms: lagMs })
    missing += await expectNoneMissing(context, stage, subscription, new Set(taken.map(({ id }) => id)))
  }
  context.verdicts.push({ lost: 0, doubled: 0, eventsMissing: missing, crashLoops: 0, violations: [] })
  return { events, doubles, lags }
}

/** @returns which share of what has to arrive has come, from 0 to 1. */
export async function shareArrived(
  receivers: Receivers,
  subscriptions: readonly Subscription[],
  accepted: readonly Entry[],
): Promise<number> {
  const counts = await receivers.counts()
  let [taken, wanted] = [0, 0]
  for (const subscription of subscriptions.filter(({ mustGetAll }) => mustGetAll)) {
    const most = wantedOf(subscription, accepted).length
    taken += Math.min(counts.get(subscription.name)?.taken ?? 0, most)
    wanted += most
  }
  return wanted === 0 ? 1 : taken / wanted
}

/** Whatever comes must be signed, always the same, and of a job that was accepted. */
function judgeReading(
  context: TrialContext,
  { name }: Subscription,
  { arrivals, faults }: Reading,
  known: ReadonlySet<string>,
): void {
  for (const fault of faults) context.expect(false, 'I5', `${name}: ${fault}`)
  const strays = arrivals.filter(({ id }) => !known.has(id))
  context.expect(
    strays.length === 0,
    'I5',
    `${name} was told of ${strays.length} jobs that nobody was promised, such as ${strays[0]?.id}`,
  )
}

/** @returns how many are missing. */
async function expectNoneMissing(
  context: TrialContext,
  stage: Stage,
  subscription: Subscription,
  taken: ReadonlySet<string>,
): Promise<number> {
  const wanted = wantedOf(subscription, context.ledger.accepted)
  const missing = wanted.flatMap(({ id = '' }) => (taken.has(id) ? [] : [id]))
  for (const id of missing.slice(0, toldOfEach)) {
    const what = `${subscription.name} was not told of job ${id}, as of ${missing.length} of ${wanted.length}`
    context.expect(false, 'I5', what, await deliveriesOf(stage, subscription, id))
  }
  return missing.length
}

async function deliveriesOf({ db }: Stage, { endpointId }: Subscription, eventId: string): Promise<string[]> {
  const deliveries = await db.sql`
    select d.created_at, d.position, j.status, j.attempts_made, j.crashes, j.epoch, j.run_at, j.error
    from deliveries d left join jobs j on j.id = d.job_id where d.endpoint_id = ${endpointId} and d.event_id = ${eventId}`
  const [endpoint] = await db.sql`
    select cursor, failures, open_until, disabled_reason, (select head from stream) as head from endpoints where id = ${endpointId}`
  return [...deliveries.map((each) => `delivery: ${JSON.stringify(each)}`), `endpoint: ${JSON.stringify(endpoint)}`]
}

/** What is redirected to must never be called. */
export async function expectNobodyFollowed(context: TrialContext, receivers: Receivers): Promise<void> {
  const { connections } = await receivers.readWitness()
  context.expect(connections === 0, 'I5', `A redirect was followed ${connections} times`)
}
