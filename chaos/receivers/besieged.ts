import { setTimeout as delay } from 'node:timers/promises'
import { quickWish } from '../load/wishes.ts'
import type { Wish } from '../load/ledger.ts'
import { percentile } from '../percentile.ts'
import type { Random } from '../random.ts'
import type { TrialContext } from '../rows/trial.ts'
import type { Stage } from '../stage/stage.ts'
import { until } from '../until.ts'
import { crowd, rareType, tags } from './crowd.ts'
import { expectAllArrived, expectNobodyFollowed, shareArrived, type Arrived } from './judge.ts'
import { Receivers } from './receivers.ts'
import { subscribe, type Subscription } from './subscription.ts'

const workers = 3
/** Jobs submitted per second: about what two cores deliver to so many endpoints. */
const jobsPerSecond = 240
/** Pause between two deaths of workers, in milliseconds. */
const [shortestLifeMs, longestLifeMs] = [4_000, 12_000]
/** Time that events have to arrive in once all jobs are accepted, in milliseconds: a first retry and a second one, and what is queued. */
const retriesMs = 420_000
const queuedMsOfEach = 10
/** May be called by nobody: an address, and a name that stands for one, which APIs allow and workers do not. */
const forbidden = ['forbidden address', 'forbidden name'] as const
const localName = 'receiver.example'

/** Tells receivers of every kind of so many jobs, while workers are killed and replaced. */
export async function besieged(context: TrialContext, events: number): Promise<void> {
  const guests = crowd()
  const witnesses = forbidden.map((name) => ({ name, kind: 'healthy' as const }))
  const receivers = await Receivers.open([...guests.map(({ spec }) => spec), ...witnesses])
  context.afterwards(() => receivers.close())
  const stage = await openStage(context, receivers)
  const arrivesWithinMs = retriesMs + events * queuedMsOfEach
  const subscriptions: Subscription[] = []
  for (const { spec, filter } of guests)
    subscriptions.push(await subscribe(context, stage, receivers, spec.name, filter))
  await subscribe(context, stage, receivers, forbidden[0])
  await subscribe(context, stage, receivers, forbidden[1], {}, urlByName(receivers))

  const client = context.client(stage, { jobsPerSecond, cancelPercent: 0, wish: taggedWish })
  client.start()
  const killing = new AbortController()
  const killed = killAtRandom(context, stage, context.random.fork(), killing.signal)
  await context.ledger.accepts(events)
  await client.stop()
  await until('most events arrive', () => haveMostArrived(context, receivers, subscriptions), arrivesWithinMs, 1_000)
  killing.abort()
  await killed
  await context.endWell(stage)
  const arrived = await expectAllArrived(context, stage, receivers, subscriptions, arrivesWithinMs)
  await expectNobodyFollowed(context, receivers)
  for (const name of forbidden) await expectUnreached(context, receivers, name)
  Object.assign(context.figures, figuresOf(arrived))
}

/** Deaths end before the last events arrive, so that a few that come late need not outlive many. */
async function haveMostArrived(
  { ledger }: TrialContext,
  receivers: Receivers,
  subscriptions: readonly Subscription[],
): Promise<boolean> {
  return (await shareArrived(receivers, subscriptions, ledger.accepted)) > 0.95
}

/** APIs may make endpoints that workers may not reach, as when less was allowed since. */
async function openStage(context: TrialContext, receivers: Receivers): Promise<Stage> {
  const stage = await context.stage({ apis: 0, workers: 0 })
  const all = receivers.environment()
  stage.enlist('api', { ...all, OUTBOUND_ALLOW: `${all['OUTBOUND_ALLOW']},${new URL(urlByName(receivers)).host}` })
  for (let count = 0; count < workers; count++) {
    stage.enlist('workers', { ...receivers.environment(forbidden), CHAOS_LOCAL_NAME: localName })
  }
  await Promise.all([...stage.apis, ...stage.workers].map((member) => member.start()))
  return stage
}

function urlByName(receivers: Receivers): string {
  const { port } = new URL(receivers.urlOf(forbidden[1]))
  return `https://${localName}:${port}/hook`
}

function taggedWish(random: Random): Wish {
  const wish = { ...quickWish(random), tags: [random.pick(tags)] }
  if (!random.chance(10)) return wish
  const delivery = String(random.int(0, 1_000_000_000))
  return { ...wish, type: rareType, input: { event: 'ping', delivery, payload: {} } }
}

/** A receiver that nobody may reach must not even see a connection. */
async function expectUnreached(context: TrialContext, receivers: Receivers, name: string): Promise<void> {
  const { connections } = await receivers.read(name)
  context.expect(connections === 0, 'I5', `${name} was reached ${connections} times, though that is forbidden`)
}

async function killAtRandom(context: TrialContext, stage: Stage, random: Random, signal: AbortSignal): Promise<void> {
  for (;;) {
    await delay(random.int(shortestLifeMs, longestLifeMs), undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    const victim = random.pick(stage.workers)
    await victim.kill()
    context.injected('worker killed amid deliveries', victim.name)
  }
}

function figuresOf({ events, doubles, lags }: Arrived): Record<string, number> {
  const times = lags.map(({ at }) => at).toSorted((a, b) => a - b)
  const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1_000
  const told = (percent: number) =>
    percentile(
      lags.map(({ ms }) => ms),
      percent,
    )
  return {
    'deliveries to healthy receivers': events,
    'deliveries/s to healthy receivers': events / seconds,
    'deliveries that came again': doubles,
    'ms from the end of a job until it is told, p50': told(50),
    'ms from the end of a job until it is told, p99': told(99),
  }
}
