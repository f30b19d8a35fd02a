import { quickWish } from '../../load/wishes.ts'
import type { ReceiverSpec } from '../../receivers/desk.ts'
import { expectAllArrived, expectNobodyFollowed } from '../../receivers/judge.ts'
import { retryAfterSeconds, type Kind } from '../../receivers/kinds.ts'
import type { Receivers } from '../../receivers/receivers.ts'
import { subscribe, type Subscription } from '../../receivers/subscription.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import { submitAll } from '../servers/submission.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { stageWithReceivers } from './stage.ts'

/** Each refuses the first request, and has recovered by the second. */
const refusing: readonly Kind[] = [
  'too many (429)',
  'moved (301)',
  'moved (302)',
  'moved (307)',
  'moved (308)',
  'resets the connection',
  'certificate expired',
]
const gone: Kind = 'gone (410)'
const jobs = 3
/** Time of the second attempt and of what may be in its way, in milliseconds. */
const retriedWithinMs = 30_000

export const answers: readonly Trial[] = [
  { row: 32, name: 'receivers that refuse, redirect, reset, or show an expired certificate', run: refuse },
]

async function refuse(context: TrialContext): Promise<void> {
  const specs: ReceiverSpec[] = [
    { name: 'healthy', kind: 'healthy' },
    { name: 'certificate valid', kind: 'certificate valid' },
    { name: gone, kind: gone },
    ...refusing.map((kind) => ({ name: kind, kind, recoversAfter: 1 })),
  ]
  const { stage, receivers } = await stageWithReceivers(context, specs)
  const subscriptions = await Promise.all(specs.map(({ name }) => subscribe(context, stage, receivers, name)))
  await submitAll(
    context,
    stage,
    Array.from({ length: jobs }, () => quickWish(context.random)),
  )
  for (const kind of [gone, ...refusing]) context.injected(`receiver: ${kind}`)
  await expectAllArrived(context, stage, receivers, subscriptions, retriedWithinMs)
  await expectNobodyFollowed(context, receivers)
  await expectDelayed(context, receivers)
  await expectRefusedFor(context, stage, named(subscriptions, 'certificate expired'), /expired/)
  await expectDisabled(context, stage, receivers, named(subscriptions, gone))
  await context.endWell(stage)
}

function named(subscriptions: readonly Subscription[], name: string): Subscription {
  const found = subscriptions.find((each) => each.name === name)
  if (!found) throw new Error(`There is no endpoint ${name}`)
  return found
}

/** What was refused with a time to wait comes again, and not before. */
async function expectDelayed(context: TrialContext, receivers: Receivers): Promise<void> {
  const { arrivals } = await receivers.read('too many (429)')
  const repeated = arrivals.filter(({ times }) => times.length > 1)
  context.expect(repeated.length > 0, 'row 32', 'Nothing that was answered with 429 came again')
  for (const {
    id,
    times: [first = 0, second = 0],
  } of repeated) {
    const waitedMs = second - first
    context.expect(
      waitedMs >= retryAfterSeconds * 1_000,
      'row 32',
      `Event ${id} came again ${waitedMs} ms after a 429 that asked for ${retryAfterSeconds} s`,
    )
  }
}

/** An attempt has failed for this reason. */
async function expectRefusedFor(
  context: TrialContext,
  { db }: Stage,
  { name, endpointId }: Subscription,
  reason: RegExp,
): Promise<void> {
  const failed = await db.sql<{ error: { message: string } }[]>`
    select a.error from deliveries d join attempts a on a.job_id = d.job_id where d.endpoint_id = ${endpointId} and a.outcome = 'failed'`
  const messages = failed.map(({ error }) => error.message)
  context.expect(
    messages.some((message) => reason.test(message)),
    'row 32',
    `${name} was refused for another reason, or not at all: ${messages.join(', ')}`,
  )
}

/** Who is gone is disabled at once, and asked no more. */
async function expectDisabled(
  context: TrialContext,
  { db }: Stage,
  receivers: Receivers,
  { name, endpointId }: Subscription,
): Promise<void> {
  const reason = await until(`${name} is disabled`, async () => {
    const [row] = await db.sql<{ disabledReason: string | null }[]>`
      select disabled_reason from endpoints where id = ${endpointId}`
    return row?.disabledReason ?? undefined
  })
  context.expect(reason === 'gone', 'row 32', `${name} was disabled as ${reason}`)
  const { arrivals } = await receivers.read(name)
  const again = arrivals.filter(({ times }) => times.length > 1)
  context.expect(again.length === 0, 'row 32', `${again.length} events came again to ${name}`)
}
