import type { Part } from '../bench.ts'
import { baseline, batched, single } from './contestants.ts'
import { measureSpeed } from './measure.ts'

const method = `\
One worker process does jobs that were loaded before. A job's input is \`{ value: n }\` and its handler answers with it. The first
tenth of the jobs is warm-up; the clock runs from its end until the last job is recorded, as durably as the contestant does it.
Then the servers are checked: every job done once, nothing left, and all that the contestant says it records is there. Each
measurement has a new process and empty servers; before it, Postgres is analyzed and makes a checkpoint. Nobody logs anything per job.`

/** How fast a worker process does jobs that do nothing. */
export const processing: Part = async (bench) => [
  {
    title: 'Processing no-op jobs',
    method,
    unit: 'jobs/s',
    better: 'higher',
    rows: await measureSpeed(bench, single),
    baseline,
  },
]

/** The same where a handler may take many jobs at once. */
export const processingInBatches: Part = async (bench) => [
  {
    title: 'Processing no-op jobs in batches',
    method: 'As above, but with handlers that are given many jobs at once, where a contestant can do that.',
    unit: 'jobs/s',
    better: 'higher',
    rows: await measureSpeed(bench, batched),
    baseline,
  },
]
