import { z } from 'zod'
import { defineJob } from '../define-job.ts'

/** Hello world, and the way to see retries, time-outs and cancellation at work. */
export const echo = defineJob({
  type: 'echo',
  description: 'Gives its value back, after sleeping and failing as often as asked.',
  input: z.strictObject({
    value: z.unknown().describe('Any JSON value; comes back unchanged.'),
    sleepMs: z.int().min(0).max(3_600_000).optional().describe('How long each attempt sleeps first, in milliseconds.'),
    failTimes: z.int().min(0).max(100).optional().describe('How many attempts fail before one completes.'),
  }),
  output: z.strictObject({ value: z.unknown() }),
})
