import type { Sql } from '@jobyard/db/connect'
import { countTests, insertDelivery, type DeliveryTerms } from '@jobyard/db/deliveries'
import {
  deleteEndpoint,
  disableEndpoint,
  enableEndpoint,
  insertEndpoint,
  listEndpoints,
  readEndpoint,
  rotateSecret,
  startReplay,
  updateEndpoint,
  type EndpointRow,
} from '@jobyard/db/endpoints'
import { isId, newId } from '@jobyard/db/ids'
import { positionAt, readStreamEnds } from '@jobyard/db/stream'
import { countReplay, usualEvents } from '@jobyard/db/subscription'
import type { AllowList } from '@jobyard/outbound/address-rules'
import { whyWebhookUrlIsForbidden } from '@jobyard/outbound/webhook-rules'
import { webhookDeliver, type DeliveryInput } from '@jobyard/queues/contracts/webhook-deliver'
import { eventJson } from '@jobyard/queues/event-body'
import type { SecretBox } from '@jobyard/queues/secret-box'
import type { TicketSender } from '@jobyard/queues/tickets'
import { newWebhookSecret } from '@jobyard/queues/webhook-signature'
import type { Logger } from 'pino'
import {
  testEventType,
  type EndpointChangesSubmission,
  type EndpointSubmission,
  type ReplaySubmission,
} from './endpoint-schemas.ts'
import { viewEndpoint, type EndpointView } from './endpoint-view.ts'
import { noSuchEndpoint, Problem } from './problem.ts'

export interface EndpointActionsOptions {
  readonly sql: Sql
  readonly tickets: TicketSender
  readonly secrets: SecretBox
  readonly log: Logger
  /** What may be reached besides public addresses. */
  readonly allow: AllowList
}

/** Endpoints of one tenant. */
const maxEndpoints = 1_000
/** Time by which the places of events may differ from the order of their moments, twice over, in milliseconds. */
const disorderMs = 120_000

/** Tests of one endpoint that are queued or running. */
const maxTests = 5

const terms: DeliveryTerms = {
  type: webhookDeliver.type,
  queue: webhookDeliver.queue,
  maxAttempts: webhookDeliver.retry.maxAttempts,
  timeoutMs: webhookDeliver.timeoutMs,
}

/** What people do with endpoints. Each throws Problem `not-found` where the tenant has no such. */
export class EndpointActions {
  readonly #options: EndpointActionsOptions
  #hasToldUnreadable = false

  constructor(options: EndpointActionsOptions) {
    this.#options = options
  }

  /**
   * Makes an endpoint.
   *
   * @param own where the platform itself is reached.
   * @returns it with its secret.
   * @throws Problem `url-not-allowed`, or `conflict` when the tenant has as many as it may.
   */
  async create(tenant: string, wanted: EndpointSubmission, own: readonly string[]) {
    const { sql, secrets } = this.#options
    this.#checkUrl(wanted.url, own)
    checkHeaders(wanted.headers)
    const present = await listEndpoints(sql, tenant, { limit: maxEndpoints })
    if (present.length >= maxEndpoints)
      throw new Problem('conflict', `There are ${maxEndpoints} endpoints already. Delete one that is not needed.`)
    const id = newId()
    const secret = newWebhookSecret()
    const row = await insertEndpoint(sql, {
      ...wanted,
      events: storedEvents(wanted.events),
      id,
      tenant,
      headers: this.#sealHeaders(wanted.headers, id),
      secret: secrets.seal(secret, id),
    })
    return { ...this.#view(row), secret }
  }

  /** Lists endpoints, newest first. @param before id of the last one of the page before. */
  async list(tenant: string, limit: number, before: string | undefined): Promise<EndpointView[]> {
    const rows = await listEndpoints(this.#options.sql, tenant, { limit, before })
    return rows.map((row) => this.#view(row))
  }

  async get(tenant: string, id: string): Promise<EndpointView> {
    return this.#view(await this.#read(tenant, id))
  }

  /** Changes what is named. @throws Problem `url-not-allowed` too. */
  async change(tenant: string, id: string, changes: EndpointChangesSubmission, own: readonly string[]) {
    if (!isId(id)) throw noSuchEndpoint(id)
    if (changes.url !== undefined) this.#checkUrl(changes.url, own)
    if (changes.headers) checkHeaders(changes.headers)
    const { headers, events, ...others } = changes
    const row = await updateEndpoint(this.#options.sql, tenant, id, {
      ...withoutUndefined(others),
      ...(events && { events: storedEvents(events) }),
      ...(headers && { headers: this.#sealHeaders(headers, id) }),
    })
    return this.#viewChanged(id, row)
  }

  async remove(tenant: string, id: string): Promise<void> {
    if (!isId(id) || !(await deleteEndpoint(this.#options.sql, tenant, id))) throw noSuchEndpoint(id)
  }

  /** Gives an endpoint a new secret. @param bothForMs how long the old one signs beside it. @returns it with the new one. */
  async rotate(tenant: string, id: string, bothForMs: number) {
    const { sql, secrets } = this.#options
    if (!isId(id)) throw noSuchEndpoint(id)
    const secret = newWebhookSecret()
    const row = await rotateSecret(sql, tenant, id, { secret: secrets.seal(secret, id), bothForMs })
    return { ...this.#viewChanged(id, row), secret }
  }

  async setEnabled(tenant: string, id: string, enabled: boolean): Promise<EndpointView> {
    if (!isId(id)) throw noSuchEndpoint(id)
    const set = enabled ? enableEndpoint : disableEndpoint
    return this.#viewChanged(id, await set(this.#options.sql, tenant, id))
  }

  /**
   * Sends an event to an endpoint that nothing has happened for.
   *
   * @returns the id of the delivery.
   * @throws Problem `conflict` when the endpoint is disabled, or `rate-limited` while it has not answered the tests before.
   */
  async test(tenant: string, id: string): Promise<string> {
    const { sql, tickets } = this.#options
    refuseDisabled(await this.#read(tenant, id))
    if ((await countTests(sql, id, testEventType)) >= maxTests) throw tooManyTests()
    const deliveryId = newId()
    const eventId = newId()
    const event = {
      id: eventId,
      tenant,
      type: testEventType,
      occurredAt: new Date(),
      sequence: 1,
      jobId: null,
      job: null,
    }
    const body = eventJson({ ...event, position: 0, data: { id } }, { includeOutput: false })
    const input: DeliveryInput = { endpointId: id, eventId, body }
    const delivery = { id: deliveryId, eventId, eventType: testEventType, position: null, input: JSON.stringify(input) }
    await tickets.send(await insertDelivery(sql, { tenant, endpointId: id }, delivery, terms))
    return deliveryId
  }

  /**
   * Sends an endpoint again what happened in a time.
   *
   * @returns it, and of a dry run how many events that would be.
   * @throws Problem `conflict` when it is disabled.
   */
  async replay(tenant: string, id: string, { since, until, perSecond, dryRun }: ReplaySubmission) {
    const { sql } = this.#options
    const row = await this.#read(tenant, id)
    const after = await positionAt(sql, new Date(since))
    const whole = row.disabledAt ? (await readStreamEnds(sql)).head : row.cursor // enabling moves the cursor to the head
    const upTo = until === undefined ? whole : await positionAt(sql, new Date(Date.parse(until) + disorderMs))
    if (dryRun) {
      const preview = await countReplay(sql, { ...row, cursor: Math.min(whole, upTo) }, after)
      return { endpoint: this.#view(row), ...preview }
    }
    refuseDisabled(row)
    return { endpoint: this.#viewChanged(id, await startReplay(sql, tenant, id, { after, upTo, perSecond })) }
  }

  async #read(tenant: string, id: string): Promise<EndpointRow> {
    const row = isId(id) ? await readEndpoint(this.#options.sql, tenant, id) : undefined
    if (!row) throw noSuchEndpoint(id)
    return row
  }

  #view(row: EndpointRow): EndpointView {
    return viewEndpoint(row, this.#options.secrets, (error) => this.#tellUnreadable(error, row.id))
  }

  #tellUnreadable(error: unknown, endpointId: string): void {
    if (!this.#hasToldUnreadable)
      this.#options.log.error({ err: error, endpointId }, 'Headers of endpoints cannot be read')
    this.#hasToldUnreadable = true
  }

  #viewChanged(id: string, row: EndpointRow | undefined): EndpointView {
    if (!row) throw noSuchEndpoint(id)
    return this.#view(row)
  }

  #checkUrl(url: string, own: readonly string[]): void {
    const reason = whyWebhookUrlIsForbidden(url, this.#options.allow, own)
    if (reason)
      throw new Problem('url-not-allowed', `The url may not be called: ${reason}.`, {
        errors: [{ path: 'url', message: reason }],
      })
  }

  #sealHeaders(headers: Record<string, string>, id: string): string | null {
    return Object.keys(headers).length === 0 ? null : this.#options.secrets.seal(JSON.stringify(headers), id)
  }
}

/** @throws Problem `url-not-allowed` where a value could end its header and begin another. */
function checkHeaders(headers: Record<string, string>): void {
  const errors = Object.entries(headers)
    .filter(([, value]) => !/^[\t\x20-\x7e]*$/.test(value))
    .map(([name]) => ({ path: `headers.${name}`, message: 'may hold visible ASCII, spaces and tabs' }))
  if (errors.length === 0) return
  throw new Problem('url-not-allowed', `Mend the headers: ${errors[0]?.path} ${errors[0]?.message}.`, { errors })
}

function tooManyTests(): Problem {
  return new Problem('rate-limited', `The endpoint has yet to answer ${maxTests} tests. See its deliveries.`, {
    headers: { 'retry-after': '5' },
  })
}

/** The usual events are stored as none: an endpoint that takes whatever ends is read for more cheaply. */
function storedEvents(events: readonly string[]): readonly string[] {
  const named = new Set(events)
  return named.size === usualEvents.length && usualEvents.every((type) => named.has(type)) ? [] : [...named]
}

function withoutUndefined<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: NonNullable<Fields[Name]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Fields]?: NonNullable<Fields[Name]>
  }
}

function refuseDisabled({ disabledReason }: EndpointRow): void {
  if (disabledReason)
    throw new Problem('conflict', `The endpoint is disabled (${disabledReason}). POST to its /enable first.`)
}
