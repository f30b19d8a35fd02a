import { setTimeout as delay } from 'node:timers/promises'
import { expectCount, type JobSystem, type Target } from './contestant.ts'

/** Share of the jobs that are done before the clock runs. */
const warmUpShare = 0.1
/** Pause between two looks at whether everything is recorded, in milliseconds. */
const lookEveryMs = 5

/**
 * Has a job system do the jobs that were loaded.
 *
 * @returns jobs per second, from the end of the warm-up until the last job is recorded.
 * @throws Error when not every job was done, once.
 */
export async function work(system: JobSystem, target: Target): Promise<number> {
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
