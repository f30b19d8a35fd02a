import { jobStatuses } from '@jobyard/db/statuses'
import { platformEvents, usualEvents } from '@jobyard/db/subscription'
import { optInEvents } from '@jobyard/db/telling'
import { isReservedHeader } from '@jobyard/outbound/webhook-rules'
import { storableText } from '@jobyard/queues/job-terms'
import { z } from 'zod'
import { attemptSchema, errorSchema } from './schemas.ts'

const dayMs = 86_400_000
const maxHeaders = 20
/** Every type of event, in the order in which people want them. */
export const eventTypes = [...usualEvents, ...optInEvents, ...platformEvents]

/** Type of the event that `/test` sends. */
export const testEventType = 'endpoint.test'

const headerName = z
  .string()
  .max(100)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'is no name of a header')
  .refine((name) => !isReservedHeader(name), 'is set by the platform or the connection')

/** What is said about an endpoint when it is made, and changed later. */
const endpointFields = {
  url: z
    .string()
    .max(2_048)
    .describe('https:// at port 443 or 8443 of a public address, or what OUTBOUND_ALLOW opens')
    .meta({ examples: ['https://example.com/hooks/jobyard'] }),
  description: storableText()
    .max(500)
    .describe('For people')
    .meta({ examples: ['Invoices'] }),
  events: z
    .array(z.enum(eventTypes))
    .min(1)
    .max(eventTypes.length)
    .describe(`Types of events; when absent ${usualEvents.join(', ')}`)
    .meta({ examples: [['job.completed', 'job.failed']] }),
  jobTypes: z
    .array(storableText().min(1).max(255))
    .max(50)
    .describe('Only jobs of these types; all when empty')
    .meta({ examples: [['image.thumbnail']] }),
  tags: z
    .array(storableText().min(1).max(64))
    .max(20)
    .describe('Only jobs that have one of these tags; all when empty')
    .meta({ examples: [['invoices']] }),
  includeOutput: z.boolean().describe("Whether the body has the job's output, up to 64 KiB"),
  headers: z
    .record(headerName, z.string().max(1_024))
    .refine((headers) => Object.keys(headers).length <= maxHeaders, `may be ${maxHeaders} at most`)
    .refine(
      (headers) => new Set(Object.keys(headers).map((name) => name.toLowerCase())).size === Object.keys(headers).length,
      'names one header twice',
    )
    .describe(`Up to ${maxHeaders} further headers of each request; kept encrypted, and never shown`)
    .meta({ examples: [{ authorization: 'Bearer …' }] }),
  maxInFlight: z.int().min(1).max(500).describe('Deliveries that may be queued or running at once'),
}
export const newEndpointSchema = z
  .strictObject({
    url: endpointFields.url,
    description: endpointFields.description.default(''),
    events: endpointFields.events.default([...usualEvents]),
    jobTypes: endpointFields.jobTypes.default([]),
    tags: endpointFields.tags.default([]),
    includeOutput: endpointFields.includeOutput.default(false),
    headers: endpointFields.headers.default({}),
    maxInFlight: endpointFields.maxInFlight.default(50),
  })
  .meta({ id: 'NewEndpoint' })
export type EndpointSubmission = z.output<typeof newEndpointSchema>
export const endpointChangesSchema = z.strictObject(endpointFields).partial()
export type EndpointChangesSubmission = z.output<typeof endpointChangesSchema>

export const rotationSchema = z.strictObject({
  overlapMs: z
    .int()
    .min(0)
    .max(7 * dayMs)
    .default(dayMs)
    .describe('How long the old secret signs beside the new one, in milliseconds'),
})

const moment = z.iso.datetime({ offset: true })
export const replaySchema = z
  .strictObject({
    since: moment.describe('Events from then on; up to a minute of those before may come along'),
    until: moment.optional().describe('Events up to then; up to two minutes of those after may come along'),
    perSecond: z.int().min(1).max(1_000).default(50).describe('Deliveries made per second'),
    dryRun: z.boolean().default(false).describe('Only count what would be delivered'),
  })
  .refine(({ since, until }) => until === undefined || Date.parse(until) >= Date.parse(since), {
    path: ['until'],
    message: 'is before since',
  })
export type ReplaySubmission = z.output<typeof replaySchema>

export const endpointSchema = z
  .object({
    id: z.string(),
    url: z.string(),
    description: z.string(),
    events: z.array(z.string()),
    jobTypes: z.array(z.string()),
    tags: z.array(z.string()),
    includeOutput: z.boolean(),
    headerNames: z
      .array(z.string())
      .optional()
      .describe(
        'Names of the further headers; their values are never shown. Absent when they cannot be read: JOBYARD_SECRET was changed',
      ),
    maxInFlight: z.int(),
    status: z.enum(['enabled', 'disabled']),
    disabledReason: z
      .enum(['asked', 'gone', 'failing'])
      .optional()
      .describe('asked: by you; gone: it answered 410; failing: for five days'),
    disabledAt: z.string().optional(),
    failures: z.int().describe('Attempts that failed since the last one that succeeded'),
    failingSince: z.string().optional(),
    pausedUntil: z.string().optional().describe('It fails so often that nothing is sent until then'),
    position: z.int().describe('How far in the stream its deliveries are made'),
    replay: z
      .object({ position: z.int(), until: z.int(), perSecond: z.int() })
      .optional()
      .describe('A replay under way: where it is and where it ends in the stream'),
    previousSecretUntil: z.string().optional().describe('Until then the secret before signs too'),
    createdAt: z.string(),
    updatedAt: z.string(),
  })
  .meta({ id: 'Endpoint' })
export const endpointWithSecretSchema = endpointSchema
  .extend({
    secret: z
      .string()
      .describe('What signs: shown now and never again')
      .meta({ examples: ['whsec_…'] }),
  })
  .meta({ id: 'EndpointWithSecret' })
export const replayAnswerSchema = z.object({
  endpoint: endpointSchema,
  events: z.int().optional().describe('Of a dry run: what would be delivered'),
  complete: z.boolean().optional().describe('Of a dry run: false when there are more than were counted'),
})

const limit = z
  .string()
  .regex(/^\d{1,3}$/, 'must be 1 to 200')
  .transform(Number)
  .pipe(z.int().min(1).max(200))
  .default(50)
export const pageQuery = z.strictObject({ limit, cursor: z.string().max(200).optional() })
export const deliveriesQuery = z.strictObject({
  endpoint: z.string().max(100).optional().describe('Id of an endpoint'),
  event: z.string().max(100).optional().describe('Id of an event: that of the job which it ended'),
  eventType: z.enum([...eventTypes, testEventType]).optional(),
  status: z.enum(jobStatuses).optional().describe('completed: it was taken; retrying: it waits for its next attempt'),
  limit,
  cursor: z.string().max(200).optional(),
})

export const redeliverySchema = z.strictObject({
  endpoint: z.string().max(100).optional().describe('Id of an endpoint; all when absent'),
  status: z.enum(['completed', 'failed', 'cancelled']).default('failed'),
  since: moment.describe('Deliveries made from then on'),
  perSecond: z.int().min(1).max(100).default(10).describe('Deliveries made per second'),
  dryRun: z.boolean().default(false).describe('Only count what would be redelivered'),
  cursor: z.string().max(200).optional().describe('`nextCursor` of the call before'),
})
export type RedeliverySubmission = z.output<typeof redeliverySchema>
export const redeliveryAnswerSchema = z.object({
  deliveries: z.int().describe('How many are made again, or would be'),
  nextCursor: z.string().optional().describe('There may be more: call again with it'),
})

export const deliverySchema = z
  .object({
    id: z.string(),
    endpointId: z.string(),
    eventId: z.string().describe('What the receiver gets as webhook-id'),
    eventType: z.string(),
    position: z.int().optional().describe('Of the event in the stream; absent for tests'),
    status: z.enum(jobStatuses),
    attemptsMade: z.int(),
    maxAttempts: z.int(),
    nextAttemptAt: z.string().optional(),
    error: errorSchema.optional().describe('Of the last attempt, if it failed'),
    redeliveryOf: z.string().optional().describe('The delivery that this one repeats'),
    createdAt: z.string(),
    startedAt: z.string().optional(),
    finishedAt: z.string().optional(),
  })
  .meta({ id: 'Delivery' })
export const deliveryAttemptSchema = attemptSchema
  .extend({
    httpStatus: z.int().optional().describe('HTTP status of the answer, if there was one'),
    latencyMs: z.number().optional().describe('Time until the answer, or until it was given up, in milliseconds'),
    response: z.string().optional().describe('First bytes of the answer'),
  })
  .meta({ id: 'DeliveryAttempt' })
export const deliveryWithAttemptsSchema = deliverySchema
  .extend({ attempts: z.array(deliveryAttemptSchema) })
  .meta({ id: 'DeliveryWithAttempts' })
