import { setTimeout as delay } from 'node:timers/promises'
import { quickWish } from '../load/wishes.ts'
import { percentile } from '../percentile.ts'
import { stageWithReceivers } from '../rows/notifications/stage.ts'
import type { TrialContext } from '../rows/trial.ts'
import { healthy, slowOnes } from './crowd.ts'
import { expectAllArrived } from './judge.ts'
import { subscribe } from './subscription.ts'

/** Jobs submitted per second, each told to all healthy receivers: far below what two cores deliver. */
const jobsPerSecond = 40
/** Longest that the 99th of 100 events may take, in milliseconds: black holes are given up after 15 s. */
const toldWithinMs = 12_000
const percents = [50, 99] as const

type Company = 'alone' | 'beside slow ones'

/** Tells healthy receivers of jobs at a steady rate, for so many seconds, by themselves or beside slow ones. */
export async function tellSteadily(context: TrialContext, company: Company, seconds: number): Promise<void> {
  const [guests, others] = [healthy(), company === 'alone' ? [] : slowOnes()]
  const specs = [...guests, ...others].map(({ spec }) => spec)
  const { stage, receivers } = await stageWithReceivers(context, specs)
  for (const { spec } of others) {
    await subscribe(context, stage, receivers, spec.name)
    context.injected(`receiver: ${spec.kind}`)
  }
  const subscriptions = await Promise.all(guests.map(({ spec }) => subscribe(context, stage, receivers, spec.name)))
  context.client(stage, { jobsPerSecond, batchPercent: 0, cancelPercent: 0, wish: quickWish }).start()
  await delay(seconds * 1_000)
  await context.endWell(stage)
  const { lags } = await expectAllArrived(context, stage, receivers, subscriptions)
  const times = lags.map(({ ms }) => ms)
  for (const percent of percents) context.figures[nameOf(company, percent)] = percentile(times, percent)
  const p99 = percentile(times, 99)
  context.expect(p99 <= toldWithinMs, 'R', `Healthy receivers ${company} are told after ${Math.round(p99)} ms`)
}

/** @returns how many times longer it takes beside slow receivers, from the figures of both. */
export function ratios(figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    percents.flatMap((percent) => {
      const [alone, beside] = [figures[nameOf('alone', percent)], figures[nameOf('beside slow ones', percent)]]
      return alone && beside ? [[`the latter by the former, p${percent}`, beside / alone]] : []
    }),
  )
}

function nameOf(company: Company, percent: number): string {
  return `healthy receivers ${company}, ms until told, p${percent}`
}
