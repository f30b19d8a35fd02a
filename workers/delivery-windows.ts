import { findUnended, recallInFlight, type EndpointBehind } from '@jobyard/db/behind'
import type { Sql } from '@jobyard/db/connect'
import type { Step } from '@jobyard/db/deliveries'
import { failuresToOpen } from '@jobyard/db/endpoint-health'
import { shareOf, type Share } from './delivery-share.ts'

/** Width of the window of an endpoint about which nothing is known; no more for one whose circuit has just been open. */
const firstWidth = 10
/** Deliveries that are looked at to recall which are in flight, as a multiple of those that may be. */
const recallTimes = 4
/** Above what any endpoint may have in flight. */
const widest = 100_000
/** Endpoints that are remembered. */
const maxKept = 10_000

interface DeliveryWindow {
  readonly inFlight: Set<string>
  /**
   * How many may be in flight: one more for each that ended, so that a receiver shows that it answers before it gets many; half as many
   * when one has to be repeated.
   */
  width: number
}

/**
 * What the relay has made and is not done: deliveries that wait for their first attempt, or are in it, or are held up by trouble on the
 * platform's side. Those that wait for another attempt are out of the window. A relay that takes over recalls what the one before has made.
 */
export class DeliveryWindows {
  readonly #sql: Sql
  readonly #windows = new Map<string, DeliveryWindow>()
  #share: Share = () => Infinity

  constructor(sql: Sql) {
    this.#sql = sql
  }

  /** Finds out what is still in flight to these endpoints. */
  async look(endpoints: readonly EndpointBehind[]): Promise<void> {
    if (this.#windows.size > maxKept) this.#windows.clear()
    await this.#dropEnded()
    for (const endpoint of endpoints) {
      const window = this.#windows.get(endpoint.id) ?? (await this.#recall(endpoint))
      if (endpoint.failures >= failuresToOpen) window.width = Math.min(window.width, firstWidth)
    }
    const busy = [...this.#windows].filter(([, { inFlight }]) => inFlight.size > 0)
    this.#share = shareOf({
      concurrency: endpoints[0]?.concurrency ?? 0,
      endpoints: new Set([...endpoints.map(({ id }) => id), ...busy.map(([id]) => id)]).size,
      inFlight: busy.reduce((total, [, { inFlight }]) => total + inFlight.size, 0),
    })
  }

  /** @returns how many deliveries may be made to an endpoint: one at a time while its circuit is tried. */
  room({ id, maxInFlight, failures }: EndpointBehind): number {
    const { inFlight, width } = this.#windows.get(id) ?? { inFlight: new Set(), width: firstWidth }
    const limit = failures >= failuresToOpen ? 1 : Math.min(width, maxInFlight, this.#share(inFlight.size))
    return Math.max(limit - inFlight.size, 0)
  }

  /** Notes deliveries that were made. @param jobs those of them that are queued. */
  add(steps: readonly Step[], jobs: ReadonlySet<string>): void {
    for (const { endpointId, deliveries } of steps) {
      const inFlight = this.#windows.get(endpointId)?.inFlight
      for (const { id } of deliveries) if (jobs.has(id)) inFlight?.add(id)
    }
  }

  /** Forgets everything, for when somebody else relays. */
  forget(): void {
    this.#windows.clear()
  }

  async #dropEnded(): Promise<void> {
    const windows = [...this.#windows.values()].filter(({ inFlight }) => inFlight.size > 0)
    const ids = windows.flatMap(({ inFlight }) => [...inFlight])
    const unended = ids.length > 0 ? await findUnended(this.#sql, ids) : new Map<string, boolean>()
    for (const window of windows) {
      const left = [...window.inFlight].filter((id) => !unended.get(id))
      for (const id of left) window.inFlight.delete(id)
      const isRepeated = left.some((id) => unended.has(id))
      window.width = isRepeated ? Math.max(window.width >> 1, 1) : Math.min(window.width + left.length, widest)
    }
  }

  async #recall({ id, maxInFlight }: EndpointBehind): Promise<DeliveryWindow> {
    const inFlight = new Set(await recallInFlight(this.#sql, id, recallTimes * maxInFlight))
    const window = { inFlight, width: firstWidth }
    this.#windows.set(id, window)
    return window
  }
}
