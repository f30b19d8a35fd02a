import { answerParent } from '../child.ts'
import type { Target } from '../process/contestant.ts'
import { jobyard, type JobyardOptions } from '../process/jobyard.ts'
import { work } from '../process/work.ts'

/** What the parent asks: to load the jobs, or to do them. */
export interface EndpointsRequest {
  readonly phase: 'load' | 'work'
  readonly options: JobyardOptions
  readonly target: Target
}

/** What came of the jobs that were done. */
export interface WorkDone {
  readonly perSecond: number
  /** CPU time of the worker process from its start to its end, in seconds. */
  readonly cpu: number
}

answerParent<EndpointsRequest, WorkDone | void>(async ({ phase, options, target }) => {
  const system = jobyard(options)
  if (phase === 'load') return system.load(target)
  const perSecond = await work(system, target)
  const { user, system: kernel } = process.cpuUsage()
  return { perSecond, cpu: (user + kernel) / 1e6 }
})
