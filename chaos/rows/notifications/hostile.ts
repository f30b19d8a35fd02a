import { setTimeout as delay } from 'node:timers/promises'
import { quickWish } from '../../load/wishes.ts'
import type { ReceiverSpec } from '../../receivers/desk.ts'
import { expectAllArrived, type Lag } from '../../receivers/judge.ts'
import type { Kind } from '../../receivers/kinds.ts'
import { subscribe } from '../../receivers/subscription.ts'
import type { Member } from '../../stage/crew.ts'
import type { Stage } from '../../stage/stage.ts'
import { percentile } from '../../percentile.ts'
import { until } from '../../until.ts'
import { submitAll } from '../servers/submission.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { stageWithReceivers } from './stage.ts'

const hostile: readonly Kind[] = ['black hole', 'one byte a second', 'endless body', 'gzip bomb', '10,000 headers']
const healthy = ['healthy 1', 'healthy 2']
const jobs = 200
/** Time in which the healthy ones must be told of every job, in milliseconds: before the first black hole is given up. */
const othersWithinMs = 12_000
/** Longest that an attempt may take, in milliseconds: the time of a request, and some more on a machine that is busy. */
const attemptWithinMs = 20_000
/** What a worker may come to hold beyond what it held before: below a bomb, or what an endless body sends. */
const mostGrowthMiB = 200
const mebibyte = 1_048_576
const sampleEveryMs = 200

export const hostileReceivers: readonly Trial[] = [
  { row: 31, name: 'receivers that never answer, never end, or answer too much', run: besiege },
]

async function besiege(context: TrialContext): Promise<void> {
  const specs: ReceiverSpec[] = [
    ...healthy.map((name) => ({ name, kind: 'healthy' as const })),
    ...hostile.map((kind) => ({ name: kind, kind })),
  ]
  const { stage, receivers } = await stageWithReceivers(context, specs)
  const others = await Promise.all(healthy.map((name) => subscribe(context, stage, receivers, name)))
  await submitAll(context, stage, wishes(context))
  const before = await expectAllArrived(context, stage, receivers, others, othersWithinMs)

  const [worker] = stage.workers
  const watch = worker && new Peak(worker)
  await watch?.start()
  const besiegedAt = Date.now()
  const attackers = await Promise.all(hostile.map((kind) => subscribe(context, stage, receivers, kind)))
  await submitAll(context, stage, wishes(context))
  for (const kind of hostile) context.injected(`receiver: ${kind}`)
  const after = await expectAllArrived(context, stage, receivers, others, othersWithinMs)
  const [usual, besieged] = [p99(before.lags), p99(after.lags.filter(({ at }) => at > besiegedAt))]
  context.figures['healthy receivers, p99 until told, ms'] = usual
  context.figures['the same beside hostile ones, ms'] = besieged
  context.expect(besieged <= othersWithinMs, 'R', `Beside hostile receivers others wait ${Math.round(besieged)} ms`)

  const silent = attackers.filter(({ name }) => name === 'black hole' || name === 'one byte a second')
  for (const { name, endpointId } of silent) {
    const longestMs = await until(`an attempt at ${name} ends`, () => longestFailure(stage, endpointId), 60_000)
    context.expect(longestMs <= attemptWithinMs, 'R', `An attempt at ${name} took ${Math.round(longestMs)} ms`)
  }
  const grownMiB = (await watch?.stop()) ?? 0
  context.figures['MiB that a worker grew beside hostile receivers'] = grownMiB
  context.expect(grownMiB <= mostGrowthMiB, 'I11', `A worker grew by ${Math.round(grownMiB)} MiB`)
  await context.endWell(stage)
}

const p99 = (lags: readonly Lag[]) =>
  percentile(
    lags.map(({ ms }) => ms),
    99,
  )
const wishes = ({ random }: TrialContext) => Array.from({ length: jobs }, () => quickWish(random))

/** @returns milliseconds, undefined while none has failed. */
async function longestFailure({ db }: Stage, endpointId: string): Promise<number | undefined> {
  const [row] = await db.sql<{ ms: number | null }[]>`
    select (extract(epoch from max(a.finished_at - a.started_at)) * 1000)::float8 as ms
    from deliveries d join attempts a on a.job_id = d.job_id where d.endpoint_id = ${endpointId} and a.outcome = 'failed'`
  return row?.ms ?? undefined
}

/** Watches how much memory a process holds at most. */
class Peak {
  readonly #member: Member
  #first = 0
  #most = 0
  #watching = true
  #loop: Promise<void> | undefined

  constructor(member: Member) {
    this.#member = member
  }

  async start(): Promise<void> {
    this.#first = await this.#measure()
    this.#loop = this.#watch()
  }

  /** @returns by how many MiB it was more than at first. */
  async stop(): Promise<number> {
    this.#watching = false
    await this.#loop
    return (this.#most - this.#first) / mebibyte
  }

  async #watch(): Promise<void> {
    while (this.#watching) {
      this.#most = Math.max(this.#most, await this.#measure())
      await delay(sampleEveryMs)
    }
  }

  async #measure(): Promise<number> {
    return (await this.#member.measure())?.rss ?? 0
  }
}
