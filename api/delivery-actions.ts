import type { Sql } from '@jobyard/db/connect'
import { listDeliveries, readDelivery, redeliver, type DeliveryFilter, type DeliveryRow } from '@jobyard/db/deliveries'
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

/** Deliveries that one call makes again at most, and that one statement does. */
const maxRedeliveries = 5_000
const pageSize = 500

/** What people do with deliveries. */
export class DeliveryActions {
  readonly #sql: Sql
  readonly #tickets: TicketSender

  constructor(sql: Sql, tickets: TicketSender) {
    this.#sql = sql
    this.#tickets = tickets
  }

  /** Lists deliveries, newest first. What can be no id is nobody's. */
  async list(tenant: string, filter: DeliveryFilter, limit: number): Promise<DeliveryView[]> {
    const ids = [filter.endpoint, filter.event].filter((id) => id !== undefined)
    if (!ids.every(isId)) return []
    return (await listDeliveries(this.#sql, tenant, filter, limit)).map(viewDelivery)
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

  /** Makes all deliveries that fit again, newest first, or only counts them. */
  async redeliverMany(tenant: string, { dryRun, endpoint, status, since }: RedeliverySubmission) {
    let deliveries = 0
    let looked = 0
    let before: string | undefined
    while (looked < maxRedeliveries) {
      const page = await this.#page(tenant, { endpoint, status, before, since: new Date(since) })
      deliveries += dryRun ? page.length : await this.#again(tenant, page)
      if (page.length < pageSize) return { deliveries, complete: true }
      looked += page.length
      before = page.at(-1)?.id
    }
    return { deliveries, complete: false }
  }

  async #page(tenant: string, filter: DeliveryFilter): Promise<DeliveryRow[]> {
    if (filter.endpoint !== undefined && !isId(filter.endpoint)) return []
    return listDeliveries(this.#sql, tenant, filter, pageSize)
  }

  async #again(tenant: string, rows: readonly DeliveryRow[]): Promise<number> {
    if (rows.length === 0) return 0
    const jobs = await redeliver(
      this.#sql,
      tenant,
      rows.map(({ id }) => ({ of: id, id: newId() })),
    )
    await this.#tickets.send(jobs)
    return jobs.length
  }

  async #read(tenant: string, id: string): Promise<DeliveryRow> {
    const row = isId(id) ? await readDelivery(this.#sql, tenant, id) : undefined
    if (!row) throw noSuchDelivery(id)
    return row
  }
}
