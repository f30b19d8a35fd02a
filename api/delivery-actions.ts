import type { Sql } from '@jobyard/db/connect'
import {
  readDelivery,
  readDeliveryPage,
  redeliver,
  type DeliveryFilter,
  type DeliveryRow,
  type Repetition,
} from '@jobyard/db/deliveries'
import { isId, newId } from '@jobyard/db/ids'
import { getAttempts } from '@jobyard/db/jobs'
import { isTerminal } from '@jobyard/db/statuses'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { RedeliverySubmission } from './endpoint-schemas.ts'
import {
  viewDelivery,
  viewDeliveryWithAttempts,
  type DeliveryView,
  type DeliveryWithAttempts,
} from './endpoint-view.ts'
import { noSuchDelivery, Problem } from './problem.ts'

/** Deliveries that one call makes again, about, and that one statement does at most. */
const defaultBounds = { redeliveries: 5_000, together: 500 }
/** Time after which a call makes no further ones, in milliseconds: well before its deadline. */
const redeliverWithinMs = 5_000

/** Where a call that redelivers many has ended. */
export interface RedeliveryPlace {
  /** The last delivery that was looked at. */
  readonly before?: string | undefined
  /** When what it made will have been sent, in milliseconds since 1970. */
  readonly dueAt: number
}

/** What people do with deliveries. */
export class DeliveryActions {
  readonly #sql: Sql
  readonly #tickets: TicketSender
  readonly #bounds: typeof defaultBounds

  /** @param bounds of a call that redelivers many. */
  constructor(sql: Sql, tickets: TicketSender, bounds = defaultBounds) {
    this.#sql = sql
    this.#tickets = tickets
    this.#bounds = bounds
  }

  /** Lists deliveries, newest first. What can be no id is nobody's. @returns a page, and what the next one is before. */
  async list(tenant: string, filter: DeliveryFilter, limit: number): Promise<{ items: DeliveryView[]; next?: string }> {
    const ids = [filter.endpoint, filter.event].filter((id) => id !== undefined)
    if (!ids.every(isId)) return { items: [] }
    const { deliveries, next } = await readDeliveryPage(this.#sql, tenant, filter, limit)
    return { items: deliveries.map(viewDelivery), ...(next !== undefined && { next }) }
  }

  /** @throws Problem `not-found`. */
  async get(tenant: string, id: string): Promise<DeliveryWithAttempts> {
    const [row, attempts] = await Promise.all([
      this.#read(tenant, id),
      isId(id) ? getAttempts(this.#sql, tenant, id) : [],
    ])
    return viewDeliveryWithAttempts(row, attempts)
  }

  /**
   * Makes a delivery again.
   *
   * @returns the id of the new one.
   * @throws Problem `not-found`, or `conflict` when it has not ended, or its endpoint takes nothing.
   */
  async redeliver(tenant: string, id: string): Promise<string> {
    const row = await this.#read(tenant, id)
    if (!isTerminal(row.status))
      throw new Problem(
        'conflict',
        `The delivery has not ended: it is ${row.status}. It will be tried again by itself.`,
      )
    const again = newId()
    const jobs = await redeliver(this.#sql, tenant, [{ of: id, id: again }])
    if (jobs.length === 0)
      throw new Problem('conflict', 'The endpoint is disabled or deleted. An endpoint can be enabled at its /enable.')
    await this.#tickets.send(jobs)
    return again
  }

  /**
   * Makes deliveries that fit again, newest first, or only counts them; for some seconds, and about 5,000, at most. They are spread over
   * time, behind those of the call before.
   *
   * @param place where the call before ended.
   * @returns how many, and where the next call is to begin; undefined when there are no more.
   */
  async redeliverMany(
    tenant: string,
    { dryRun, endpoint, status, since, perSecond }: Omit<RedeliverySubmission, 'cursor'>,
    place: RedeliveryPlace = { dueAt: 0 },
  ): Promise<{ deliveries: number; next?: RedeliveryPlace }> {
    if (endpoint !== undefined && !isId(endpoint)) return { deliveries: 0 }
    const { redeliveries, together } = this.#bounds
    const filter = { endpoint, status, since: new Date(since), repeatable: true }
    const deadline = performance.now() + redeliverWithinMs
    const firstDelayMs = Math.max(place.dueAt - Date.now(), 0)
    const delayMs = (index: number) => firstDelayMs + (index / perSecond) * 1_000
    let deliveries = 0
    let { before } = place
    do {
      const page = await readDeliveryPage(this.#sql, tenant, { ...filter, before }, together)
      const wanted = page.deliveries.map(({ id: of }, index) => ({
        of,
        id: newId(),
        delayMs: delayMs(deliveries + index),
      }))
      deliveries += dryRun ? wanted.length : await this.#again(tenant, wanted)
      before = page.next
    } while (before !== undefined && deliveries < redeliveries && performance.now() < deadline)
    if (before === undefined) return { deliveries }
    return { deliveries, next: { before, dueAt: Math.ceil(Date.now() + delayMs(deliveries)) } }
  }

  async #again(tenant: string, wanted: readonly Repetition[]): Promise<number> {
    if (wanted.length === 0) return 0
    const jobs = await redeliver(this.#sql, tenant, wanted, { onlyLatest: true })
    await this.#tickets.send(jobs.filter(({ isDue }) => isDue))
    return jobs.length
  }

  async #read(tenant: string, id: string): Promise<DeliveryRow> {
    const row = isId(id) ? await readDelivery(this.#sql, tenant, id) : undefined
    if (!row) throw noSuchDelivery(id)
    return row
  }
}
