import { jobStatuses } from '@jobyard/db/statuses'
import { missedPolicies, overlapPolicies } from '@jobyard/db/schedules'
import { instant } from '@jobyard/queues/job-terms'
import { ruleFields, scheduleDefinition } from '@jobyard/queues/schedules/definition'
import { z } from 'zod'

export const scheduleBody = scheduleDefinition.meta({ id: 'ScheduleDefinition' })

const at = z.string().describe('RFC 3339 in UTC')

/** Of a listing's last run, and of each occurrence. */
const runSchema = z.object({
  jobId: z.string(),
  status: z.enum(jobStatuses).optional().describe('Absent when the job was deleted by its retention'),
})

const summaryFields = {
  name: z.string(),
  source: z.enum(['api', 'file']).describe('`file`: the schedules file says what it is'),
  description: z.string().describe('What the rule says, in words'),
  type: z.string(),
  queue: z.string(),
  cron: z.string().optional(),
  seconds: z.boolean().optional(),
  timeZone: z.string(),
  skipped: ruleFields.skipped,
  repeated: ruleFields.repeated,
  everyMs: z.number().optional(),
  anchor: at.optional(),
  startsAt: at.optional(),
  endsAt: at.optional(),
  jitterMs: z.int(),
  missed: z.enum(missedPolicies),
  missedMax: z.int(),
  overlap: z.enum(overlapPolicies),
  paused: z.boolean(),
  priority: z.int(),
  maxAttempts: z.int(),
  timeoutMs: z.int(),
  tags: z.array(z.string()),
  nextRuns: z.array(at).describe('The next five occurrences; none while it is paused, or after its end'),
  lastRun: runSchema.optional(),
  createdAt: at,
  updatedAt: at,
}
export const scheduleSummarySchema = z.object(summaryFields).meta({ id: 'ScheduleSummary' })
export const scheduleSchema = z
  .object({
    ...summaryFields,
    input: z.unknown(),
    metadata: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Schedule' })

export const schedulesQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().optional(),
})

export const occurrenceSchema = z
  .object({
    at: at.describe('When it was to be by the rule; when it was asked for, if manual'),
    manual: z.boolean(),
    outcome: z
      .enum(['fired', 'overlapped', 'missed'])
      .describe('overlapped: the run before was unfinished. missed: nobody could fire it in time'),
    job: runSchema.optional(),
    through: at.optional().describe('Last of the occurrences that this item stands for'),
    count: z.int().optional().describe('How many they are; absent when they were not counted'),
    recordedAt: at,
  })
  .meta({ id: 'Occurrence' })

export const previewBody = z.strictObject({
  ...ruleFields,
  count: z.int().min(1).max(100).default(5),
  after: instant.optional().describe('Now, when absent'),
})
export const previewSchema = z.object({
  description: z.string(),
  runs: z.array(at),
  details: z.array(
    z.object({
      at,
      local: z.string().describe('What the clocks of the zone show'),
      remark: z.string().optional().describe('What daylight saving time has to do with it'),
    }),
  ),
})
export type PreviewSubmission = z.output<typeof previewBody>
