import { setTimeout as delay } from 'node:timers/promises'
import { answerParent } from '../child.ts'
import { expectCount, type JobSystem, type Target } from './contestant.ts'
import { batched, single } from './contestants.ts'
import type { PhaseRequest } from './measure.ts'

/** Share of the jobs that are done before the clock runs. */
const warmUpShare = 0.1
/** Pause between two looks at whether everything is recorded, in milliseconds. */
const lookEveryMs = 5

/** @returns jobs per second, from the end of the warm-up until the last job is recorded. */
async function work(system: JobSystem, target: Target): Promise<number> {
  const allHandled = Promise.withResolvers<void>()
  let handled = 0
  let warm: { readonly at: number; readonly handled: number } | undefined
  const worker = await system.start(target, (jobs) => {
    handled += jobs
    if (handled >= target.jobs * warmUpShare) warm ??= { at: performance.now(), handled }
    if (handled >= target.jobs) allHandled.resolve()
  })
  await allHandled.promise
  while (!(await worker.recorded())) await delay(lookEveryMs)
  const endedAt = performance.now()
  await worker.stop()
  expectCount('Jobs handled', handled, target.jobs)
  await system.verify(target)
  if (!warm) throw new Error('There were no jobs')
  return ((target.jobs - warm.handled) * 1_000) / (endedAt - warm.at)
}

answerParent(async ({ contestant, phase, target }: PhaseRequest) => {
  const found = [...single, ...batched].find(({ name }) => name === contestant)
  if (!found) throw new Error(`There is no contestant "${contestant}"`)
  const system = await found.open()
  return phase === 'load' ? system.load(target) : work(system, target)
})
