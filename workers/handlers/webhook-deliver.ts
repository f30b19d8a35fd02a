import { heldUp } from '@jobyard/db/behind'
import type { Sql } from '@jobyard/db/connect'
import {
  disableGone,
  failuresToOpen,
  noteFailure,
  noteSuccess,
  takeProbe,
  type DeliveryEndpoint,
} from '@jobyard/db/endpoint-health'
import { newId } from '@jobyard/db/ids'
import { readStream } from '@jobyard/db/stream'
import { fateOf } from '@jobyard/db/trouble'
import { EgressProxyError } from '@jobyard/outbound/egress-proxy'
import { ForbiddenAddressError, type GuardedFetch, type GuardedResponse } from '@jobyard/outbound/guarded-fetch'
import { webhookDeliver as contract, type DeliveryInput } from '@jobyard/queues/contracts/webhook-deliver'
import { PermanentError, RetryError, SnoozeError } from '@jobyard/queues/errors'
import { eventJson, eventOutputLimit } from '@jobyard/queues/event-body'
import { retryDelayMs } from '@jobyard/queues/retry-policy'
import type { SecretBox } from '@jobyard/queues/secret-box'
import { signatureHeaders } from '@jobyard/queues/webhook-signature'
import { defineHandler, type HandlerContext, type JobHandler } from '../define-handler.ts'
import { DeliveryEndpoints } from './delivery-endpoints.ts'
import { egressOutage, Outage } from './outage.ts'
import { retryAfterMs } from './retry-after.ts'

/** Time of one request, in milliseconds, and bytes that are read of the answer. */
const timeoutMs = 15_000
const maxBodyBytes = 20_000
/** Characters of the answer that an attempt keeps. */
const excerptLength = 1_000
/** Answers that ask for less: https://www.standardwebhooks.com, section on failures. */
const throttling = new Set([429, 502, 504])
/** How long a receiver that asks for less is left alone when it does not say, in milliseconds. */
const defaultPauseMs = 5_000
/** Share of a wait that a receiver asked for by which it is spread, so that those who wait for the same do not come back together. */
const spread = 0.1
/** The same of the wait for a circuit: so few come while it is tried that a delivery outlasts days of it (a job may be claimed 1,000 times). */
const snoozeSpread = 0.5
/** Shortest wait for a circuit, in milliseconds: a pause of a second must not have all who wait come back each second. */
const shortestSnoozeMs = 10_000
/** Wait of those who come while another delivery tries the circuit, in milliseconds. */
const probedMs = 60_000

/** Wait for somebody to mend JOBYARD_SECRET, in milliseconds. */
const unreadableMs = 300_000

export interface WebhookDependencies {
  readonly sql: Sql
  readonly secrets: SecretBox
  readonly guardedFetch: GuardedFetch
}

/** Brings events to endpoints, signed by the rules of Standard Webhooks. */
export function webhookDeliver({ sql, secrets, guardedFetch }: WebhookDependencies): JobHandler {
  const endpoints = new DeliveryEndpoints(sql)
  const outage = new Outage()

  const prepare = async (input: DeliveryInput, ctx: HandlerContext) => {
    const endpoint = await endpoints.read(input.endpointId)
    refuseUnwanted(endpoint, ctx)
    const keys = openKeys(secrets, endpoint, ctx)
    const probe = await admit(sql, endpoint)
    const body = input.body ?? (await makeBody(sql, input, endpoint))
    return { endpoint, probe, message: { keys, eventId: input.eventId, body, signal: ctx.signal } }
  }

  return defineHandler(contract, async (input, ctx) => {
    const { endpoint, probe, message } = await prepare(input, ctx).catch((error: unknown) => {
      throw fateOf(error) === undefined ? error : outage.snooze('The platform could not read the endpoint')
    })
    outage.end()
    const startedAt = performance.now()
    const answer = await post(guardedFetch, endpoint.url, message).catch((error: unknown) => {
      ctx.signal.throwIfAborted()
      if (error instanceof EgressProxyError) throw egressOutage.snooze(error.message)
      return error as Error
    })
    const attempt = { endpoint, probe, latencyMs: Math.round(performance.now() - startedAt) }
    if (!(answer instanceof Error)) egressOutage.end()
    if (answer instanceof Error || answer.status < 200 || answer.status > 299) {
      throw await failure(sql, attempt, answer, ctx).finally(() => endpoints.forget(endpoint.id))
    }
    if (endpoint.failures > 0)
      await noted(noteSuccess(sql, endpoint.id), ctx).finally(() => endpoints.forget(endpoint.id))
    return describeAnswer(answer, attempt.latencyMs)
  })
}

/** @throws PermanentError when the endpoint gets nothing any more. */
function refuseUnwanted(
  endpoint: DeliveryEndpoint | undefined,
  { tenant }: HandlerContext,
): asserts endpoint is DeliveryEndpoint {
  if (endpoint?.tenant !== tenant) throw new PermanentError('The endpoint was deleted', 'endpoint_deleted')
  if (endpoint.disabledReason)
    throw new PermanentError(`The endpoint is disabled: ${endpoint.disabledReason}`, 'endpoint_disabled')
}

/** @returns whether this delivery probes a circuit that was open. @throws SnoozeError while it is open, or another one probes it. */
async function admit(sql: Sql, { id, failures, openForMs }: DeliveryEndpoint): Promise<boolean> {
  if (openForMs > 0) {
    const waitMs = Math.max(openForMs, shortestSnoozeMs)
    throw new SnoozeError(spreadOut(waitMs, snoozeSpread), 'The circuit of the endpoint is open')
  }
  if (failures < failuresToOpen) return false
  if (await takeProbe(sql, id)) return true
  throw new SnoozeError(spreadOut(probedMs, snoozeSpread), 'Another delivery tries the endpoint')
}

/** For deliveries whose body could not be made or stored with them. @throws PermanentError with reason `not_deliverable`. */
async function makeBody(
  sql: Sql,
  { eventId, position }: DeliveryInput,
  { tenant, includeOutput }: DeliveryEndpoint,
): Promise<string> {
  const outputLimit = includeOutput ? eventOutputLimit : 0
  const { events } = await readStream(sql, { after: (position ?? 0) - 1, limit: 1, tenant, outputLimit })
  const event = events.find(({ id }) => id === eventId)
  if (!event) throw new PermanentError('The event is not kept any more', 'not_deliverable')
  try {
    return eventJson(event, { includeOutput })
  } catch (error) {
    throw new PermanentError(`The event cannot be told: ${String(error)}`, 'not_deliverable')
  }
}

/** What signs, and the headers that come along. */
interface Keys {
  readonly secrets: readonly string[]
  readonly headers: Record<string, string>
}

/** @throws SnoozeError when they are encrypted by another JOBYARD_SECRET: another process may have it, or somebody brings it back. */
function openKeys(box: SecretBox, endpoint: DeliveryEndpoint, { log }: HandlerContext): Keys {
  const { id, headers, secret, previousSecret, previousSecretUntil } = endpoint
  const former = previousSecret !== null && previousSecretUntil && previousSecretUntil.getTime() > Date.now()
  try {
    return {
      secrets: [secret, ...(former ? [previousSecret] : [])].map((sealed) => box.open(sealed, id)),
      headers: headers === null ? {} : (JSON.parse(box.open(headers, id)) as Record<string, string>),
    }
  } catch (error) {
    const { message } = error as Error
    log.error({ endpointId: id }, `Deliveries to this endpoint wait. ${message}`)
    throw new SnoozeError(spreadOut(unreadableMs, snoozeSpread), message, heldUp)
  }
}

interface Message {
  readonly keys: Keys
  readonly eventId: string
  readonly body: string
  readonly signal: AbortSignal
}

function post(guardedFetch: GuardedFetch, url: string, message: Message): Promise<GuardedResponse> {
  const { keys, eventId, body, signal } = message
  return guardedFetch(url, {
    method: 'POST',
    headers: {
      'user-agent': 'jobyard',
      ...keys.headers,
      'content-type': 'application/json',
      ...signatureHeaders(keys.secrets, { id: eventId, timestamp: Math.floor(Date.now() / 1_000), body }),
    },
    body,
    timeoutMs,
    maxBodyBytes,
    signal,
  })
}

interface Attempt {
  readonly endpoint: DeliveryEndpoint
  readonly probe: boolean
  readonly latencyMs: number
}

/** Counts a failed attempt against its endpoint. @returns what the job makes of it. */
async function failure(
  sql: Sql,
  { endpoint: { id, url }, probe, latencyMs }: Attempt,
  answer: GuardedResponse | Error,
  ctx: HandlerContext,
): Promise<Error> {
  if (answer instanceof Error) {
    await noted(noteFailure(sql, id, { url, probe, pauseMs: 0 }, newId()), ctx)
    const reason = answer instanceof ForbiddenAddressError ? 'url_not_allowed' : 'no_answer'
    return new RetryError(answer.message, { reason, detail: { latencyMs }, cause: answer })
  }
  const { status } = answer
  const detail = describeAnswer(answer, latencyMs)
  if (status === 410) {
    await noted(disableGone(sql, { id, url }, newId()), ctx)
    return new PermanentError('The receiver answered 410: the endpoint is disabled', 'endpoint_gone', { detail })
  }
  const wishedMs = retryAfterMs(answer.headers['retry-after'])
  const pauseMs = wishedMs ?? (throttling.has(status) ? defaultPauseMs : 0)
  await noted(noteFailure(sql, id, { url, probe, pauseMs }, newId()), ctx)
  const delayMs =
    wishedMs === undefined ? undefined : Math.max(spreadOut(wishedMs), retryDelayMs(contract.retry, ctx.attempt))
  return new RetryError(`The receiver answered ${status}`, { reason: 'http_status', detail, delayMs })
}

/** Where it cannot be noted what an attempt has shown of its endpoint, the next one shows it again. */
async function noted(noting: Promise<unknown>, { log }: HandlerContext): Promise<void> {
  await noting.catch((error: unknown) => log.warn({ err: error }, 'An answer could not be noted, and the next will be'))
}

function describeAnswer({ status, body }: GuardedResponse, latencyMs: number) {
  return { status, latencyMs, body: body.slice(0, excerptLength).toWellFormed().replaceAll('\0', '\uFFFD') }
}

/** @returns a wait that is a little longer at random. */
function spreadOut(ms: number, share = spread): number {
  return Math.ceil(ms * (1 + share * Math.random()))
}
