import type { DeliveryRow } from '@jobyard/db/deliveries'
import type { EndpointRow } from '@jobyard/db/endpoints'
import type { AttemptRow } from '@jobyard/db/jobs'
import { usualEvents } from '@jobyard/db/subscription'
import type { SecretBox } from '@jobyard/queues/secret-box'
import { z } from 'zod'
import type {
  deliveryAttemptSchema,
  deliverySchema,
  deliveryWithAttemptsSchema,
  endpointSchema,
} from './endpoint-schemas.ts'
import { instants } from './instants.ts'
import { viewAttempt } from './job-view.ts'

export type EndpointView = z.output<typeof endpointSchema>
export type DeliveryView = z.output<typeof deliverySchema>
export type DeliveryWithAttempts = z.output<typeof deliveryWithAttemptsSchema>
type DeliveryAttempt = z.output<typeof deliveryAttemptSchema>

/**
 * The endpoint as clients see it: without what is secret about it.
 *
 * @param onUnreadable called when the names of its headers cannot be told.
 */
export function viewEndpoint(
  row: EndpointRow,
  secrets: SecretBox,
  onUnreadable: (error: unknown) => void,
): EndpointView {
  const names = headerNames(row, secrets, onUnreadable)
  return {
    id: row.id,
    url: row.url,
    description: row.description,
    events: [...(row.events.length === 0 ? usualEvents : row.events)],
    jobTypes: [...row.jobTypes],
    tags: [...row.tags],
    includeOutput: row.includeOutput,
    ...(names && { headerNames: names }),
    maxInFlight: row.maxInFlight,
    status: row.disabledAt ? 'disabled' : 'enabled',
    ...(row.disabledReason && { disabledReason: row.disabledReason }),
    failures: row.failures,
    ...instants({ disabledAt: row.disabledAt, failingSince: row.failingSince, pausedUntil: row.openUntil }),
    position: row.cursor,
    ...viewReplay(row),
    ...instants({ previousSecretUntil: row.previousSecretUntil }),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

/** The delivery as clients see it. */
export function viewDelivery(row: DeliveryRow): DeliveryView {
  return {
    id: row.id,
    endpointId: row.endpointId,
    eventId: row.eventId,
    eventType: row.eventType,
    ...(row.position !== null && { position: row.position }),
    status: row.status,
    attemptsMade: row.attemptsMade,
    maxAttempts: row.maxAttempts,
    ...instants({ nextAttemptAt: row.dueAt }),
    ...(row.error && { error: { reason: row.error.reason, message: row.error.message } }),
    ...(row.redriveOf && { redeliveryOf: row.redriveOf }),
    createdAt: row.createdAt.toISOString(),
    ...instants({ startedAt: row.startedAt, finishedAt: row.finishedAt }),
  }
}

/** The delivery with what its receiver answered each time. */
export function viewDeliveryWithAttempts(row: DeliveryRow, attempts: readonly AttemptRow[]): DeliveryWithAttempts {
  return { ...viewDelivery(row), attempts: [...attempts.map(viewFailedAttempt), ...completingAttempt(row)] }
}

/** What an attempt keeps of its answer: the output of `webhook.deliver`, or `detail` of its error. */
const answerSchema = z.object({ status: z.int(), latencyMs: z.number(), body: z.string() }).partial()

function viewAnswer(answer: unknown): Pick<DeliveryAttempt, 'httpStatus' | 'latencyMs' | 'response'> {
  const { status: httpStatus, latencyMs, body } = answerSchema.safeParse(answer).data ?? {}
  return {
    ...(httpStatus !== undefined && { httpStatus }),
    ...(latencyMs !== undefined && { latencyMs }),
    ...(body !== undefined && { response: body }),
  }
}

function viewFailedAttempt(row: AttemptRow): DeliveryAttempt {
  const error: { reason: string; message: string; detail?: unknown } | null = row.error
  return {
    ...viewAttempt(row),
    ...(error && { error: { reason: error.reason, message: error.message } }),
    ...viewAnswer(error?.detail),
  }
}

function completingAttempt({ status, attemptsMade, startedAt, finishedAt, output }: DeliveryRow): DeliveryAttempt[] {
  if (status !== 'completed' || !startedAt || !finishedAt) return []
  return [
    {
      attempt: attemptsMade,
      outcome: 'completed',
      startedAt: startedAt.toISOString(),
      finishedAt: finishedAt.toISOString(),
      ...viewAnswer(output),
    },
  ]
}

function headerNames({ id, headers }: EndpointRow, secrets: SecretBox, onUnreadable: (error: unknown) => void) {
  try {
    return headers === null ? [] : Object.keys(JSON.parse(secrets.open(headers, id)) as object)
  } catch (error) {
    onUnreadable(error)
    return undefined
  }
}

function viewReplay({ replayCursor, replayUntil, replayPerSecond }: EndpointRow): Pick<EndpointView, 'replay'> {
  if (replayCursor === null || replayUntil === null || replayPerSecond === null) return {}
  return { replay: { position: replayCursor, until: replayUntil, perSecond: replayPerSecond } }
}
