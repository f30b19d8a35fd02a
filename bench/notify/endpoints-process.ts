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

answerParent(async ({ phase, options, target }: EndpointsRequest) => {
  const system = jobyard(options)
  return phase === 'load' ? system.load(target) : work(system, target)
})
