import { setTimeout as delay } from 'node:timers/promises'
import { call } from '../../load/call.ts'
import { quickWish } from '../../load/wishes.ts'
import { expectAllArrived } from '../../receivers/judge.ts'
import type { Receivers } from '../../receivers/receivers.ts'
import { subscribe, type Subscription } from '../../receivers/subscription.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import { submitAll } from '../servers/submission.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { stageWithReceivers } from './stage.ts'

const jobs = 300
const keepsOld = 'keeps the old secret'
const takesNew = 'takes the new secret too'
/** How long the old secret signs beside the new one, in milliseconds: for longer than the trial, and for a part of it. */
const overlaps = { [keepsOld]: 3_600_000, [takesNew]: 4_000 }

export const secretRotated: readonly Trial[] = [
  { row: 36, name: 'secrets rotated while deliveries are under way', run: rotateUnderLoad },
]

async function rotateUnderLoad(context: TrialContext): Promise<void> {
  const specs = Object.keys(overlaps).map((name) => ({ name, kind: 'healthy' as const }))
  const { stage, receivers } = await stageWithReceivers(context, specs, { apis: 2 })
  const subscriptions = await Promise.all(specs.map(({ name }) => subscribe(context, stage, receivers, name)))
  const submitSome = () => submitAll(context, stage, wishes(context))
  await submitSome()
  await until('deliveries come', async () => (await taken(receivers)) > 0)
  await Promise.all([submitSome(), ...subscriptions.map((each) => rotate(context, stage, receivers, each))])
  context.figures['deliveries that had come before a secret was rotated'] = await taken(receivers)
  await delay(overlaps[takesNew])
  await submitSome()
  const arrived = await expectAllArrived(context, stage, receivers, subscriptions)
  context.figures['deliveries that verified around a rotation'] = arrived.events
  await context.endWell(stage)
}

const wishes = ({ random }: TrialContext) => Array.from({ length: jobs }, () => quickWish(random))

/** One of them goes on to believe the old secret only, the other is told of the new one as soon as there is one. */
async function rotate(
  context: TrialContext,
  stage: Stage,
  receivers: Receivers,
  { name, endpointId }: Subscription,
): Promise<void> {
  const body = { overlapMs: overlaps[name as keyof typeof overlaps] }
  const answer = await call(stage.api(context.random), `/v1/endpoints/${endpointId}/rotate-secret`, { body })
  context.injected('a secret rotated', `${name}, answered with ${answer?.status}`)
  context.expect(answer?.status === 200, 'row 36', `Rotating a secret was answered with ${answer?.status}`)
  if (name === takesNew) await receivers.believe(name, answer?.body.secret ?? '')
}

async function taken(receivers: Receivers): Promise<number> {
  return [...(await receivers.counts()).values()].reduce((sum, count) => sum + count.taken, 0)
}
