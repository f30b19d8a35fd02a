import type { Sql } from '@jobyard/db/connect'
import { readForDelivery, type DeliveryEndpoint } from '@jobyard/db/endpoint-health'

/** How long an endpoint is believed to be as it was read, in milliseconds. */
const keptMs = 1_000
/** Endpoints that are remembered. */
const maxKept = 10_000

interface Kept {
  readonly readAt: number
  readonly endpoint: Promise<DeliveryEndpoint | undefined>
}

/** Endpoints as they stand in the record, read at most once a second each. */
export class DeliveryEndpoints {
  readonly #sql: Sql
  readonly #kept = new Map<string, Kept>()

  constructor(sql: Sql) {
    this.#sql = sql
  }

  /** @returns the endpoint, whose circuit is open for as long as it is from now; undefined when it is gone. */
  async read(id: string): Promise<DeliveryEndpoint | undefined> {
    const now = performance.now()
    const known = this.#kept.get(id)
    const kept = known && now - known.readAt < keptMs ? known : this.#readAnew(id, now)
    const endpoint = await kept.endpoint
    return endpoint && { ...endpoint, openForMs: endpoint.openForMs - (performance.now() - kept.readAt) }
  }

  /** Has the endpoint read anew next time: it has just been changed. */
  forget(id: string): void {
    this.#kept.delete(id)
  }

  #readAnew(id: string, now: number): Kept {
    if (this.#kept.size >= maxKept) this.#kept.clear()
    const kept = { readAt: now, endpoint: readForDelivery(this.#sql, id) }
    this.#kept.set(id, kept)
    kept.endpoint.catch(() => this.#kept.delete(id))
    return kept
  }
}
