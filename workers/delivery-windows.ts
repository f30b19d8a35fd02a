import { findInFlight, recallInFlight } from '@jobyard/db/behind'
import type { Sql } from '@jobyard/db/connect'
import type { Step } from '@jobyard/db/deliveries'
import { failuresToOpen } from '@jobyard/db/endpoint-health'
import type { EndpointRow } from '@jobyard/db/endpoints'

/** Deliveries that are looked at to recall which are in flight, as a multiple of those that may be. */
const recallTimes = 4
/** Endpoints that are remembered. */
const maxKept = 10_000

/**
 * What the relay has made and is not done: deliveries that wait for their first attempt, or are in it. Those that wait for another one
 * are out of the window. A relay that takes over recalls what the one before has made.
 */
export class DeliveryWindows {
  readonly #sql: Sql
  readonly #inFlight = new Map<string, Set<string>>()

  constructor(sql: Sql) {
    this.#sql = sql
  }

  /** Finds out what is still in flight to these endpoints. */
  async look(endpoints: readonly EndpointRow[]): Promise<void> {
    if (this.#inFlight.size > maxKept) this.#inFlight.clear()
    const known = endpoints.flatMap(({ id }) => this.#inFlight.get(id) ?? [])
    const ids = known.flatMap((each) => [...each])
    const still = ids.length > 0 ? await findInFlight(this.#sql, ids) : new Set<string>()
    for (const each of known) for (const id of each) if (!still.has(id)) each.delete(id)
    for (const { id, maxInFlight } of endpoints) {
      if (this.#inFlight.has(id)) continue
      this.#inFlight.set(id, new Set(await recallInFlight(this.#sql, id, recallTimes * maxInFlight)))
    }
  }

  /** @returns how many deliveries may be made to an endpoint: one at a time while its circuit is tried. */
  room({ id, maxInFlight, failures }: EndpointRow): number {
    const limit = failures >= failuresToOpen ? 1 : maxInFlight
    return Math.max(limit - (this.#inFlight.get(id)?.size ?? 0), 0)
  }

  /** Forgets everything, for when somebody else relays. */
  forget(): void {
    this.#inFlight.clear()
  }

  /** Notes deliveries that were made. @param jobs those of them that are queued. */
  add(steps: readonly Step[], jobs: ReadonlySet<string>): void {
    for (const { endpointId, deliveries } of steps) {
      const ids = this.#inFlight.get(endpointId)
      for (const { id } of deliveries) if (jobs.has(id)) ids?.add(id)
    }
  }
}
