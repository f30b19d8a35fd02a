import { jobStatuses, outcomes, type JobStatus } from '@jobyard/db/statuses'
import { instant, jobTerms } from '@jobyard/queues/job-terms'
import { z } from 'zod'

const tenYearsMs = 315_576_000_000

/** What a client may say about a job. */
const submissionFields = {
  ...jobTerms,
  runAt: instant.optional().describe('Not before this moment'),
  delayMs: z.int().min(0).max(tenYearsMs).optional().describe('Alternative to runAt: milliseconds from now'),
  expiresAt: instant.optional().describe('Fails as expired when not started by then'),
  deduplicationKey: z
    .string()
    // oxlint-disable-next-line no-control-regex -- these are what is refused
    .regex(/^[^\x00-\x1f\x7f-\x9f]{1,255}$/, 'must be 1 to 255 printable characters')
    .refine((key) => key.isWellFormed(), 'must be well-formed Unicode')
    .optional()
    .describe('Unfinished jobs of the same type and key are one: the answer is the job that there is'),
}
const saysWhenOnce = (job: { runAt?: string | undefined; delayMs?: number | undefined }) =>
  job.runAt === undefined || job.delayMs === undefined
const saysWhenTwice = { path: ['delayMs'], message: 'cannot be combined with runAt' }
export const submissionSchema = z
  .strictObject(submissionFields)
  .refine(saysWhenOnce, saysWhenTwice)
  .meta({ id: 'NewJob' })
export type Submission = z.output<typeof submissionSchema>

export const idempotencyKeySchema = z
  .string()
  .regex(/^[\x20-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters')

/** One job of a batch. */
export const batchItemSchema = z
  .strictObject({ ...submissionFields, idempotencyKey: idempotencyKeySchema.optional() })
  .refine(saysWhenOnce, saysWhenTwice)

export const errorSchema = z
  .object({
    reason: z.string(),
    message: z.string(),
    detail: z.unknown().optional().describe('What else the handler told of it.'),
  })
  .meta({ id: 'JobError' })
export const attemptSchema = z
  .object({
    attempt: z.int(),
    outcome: z.enum(outcomes),
    startedAt: z.string(),
    finishedAt: z.string(),
    error: errorSchema.optional(),
  })
  .meta({ id: 'Attempt' })
const summaryFields = {
  id: z.string(),
  type: z.string(),
  queue: z.string(),
  status: z.enum(jobStatuses),
  error: errorSchema.optional(),
  attemptsMade: z.int(),
  maxAttempts: z.int(),
  timeoutMs: z.int(),
  progress: z.number().optional(),
  progressNote: z.string().optional(),
  priority: z.int(),
  runAt: z.string().optional(),
  expiresAt: z.string().optional(),
  createdAt: z.string(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
  deduplicationKey: z.string().optional(),
  redriveOf: z.string().optional().describe('The job that this one was made of'),
  redrivenAs: z.string().optional().describe('The job that was last made of this one'),
  tags: z.array(z.string()),
  metadata: z.record(z.string(), z.unknown()),
}
export const jobSummarySchema = z.object(summaryFields).meta({ id: 'JobSummary' })
export const jobSchema = z
  .object({
    ...summaryFields,
    input: z.unknown(),
    output: z.unknown().optional(),
    attempts: z.array(attemptSchema),
  })
  .meta({ id: 'Job' })
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' })
const countOfEach = Object.fromEntries(jobStatuses.map((status) => [status, z.int()])) as Record<JobStatus, z.ZodInt>
export const queueSchema = z
  .object({
    name: z.string(),
    paused: z.boolean(),
    counts: z.object(countOfEach),
    oldestReadyMs: z.number().nullable(),
  })
  .meta({ id: 'Queue' })
