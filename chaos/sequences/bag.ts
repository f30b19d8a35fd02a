import { Carrier } from '@jobyard/queues/carrier'
import type { CarrierBackend, TicketData, TicketQueue } from '@jobyard/queues/carrier-backend'

/** A ticket as the carrier holds it. */
export interface BagTicket {
  readonly queue: string
  readonly ids: readonly string[]
}

/** The carrier as a bag: tickets come out in any order, twice, or never. */
export class Bag {
  held: BagTicket[] = []
  /** Every ticket that was ever put in. */
  sent: BagTicket[] = []

  put(ticket: BagTicket): void {
    this.held.push(ticket)
    this.sent.push(ticket)
  }

  /** Takes out the n-th ticket, counted around; undefined when there is none. */
  take(n: number): BagTicket | undefined {
    return this.held.splice(n % Math.max(this.held.length, 1), 1)[0]
  }

  /** @returns the n-th ticket that was ever put in, counted around: one that is delivered again, or late. */
  again(n: number): BagTicket | undefined {
    return this.sent[n % Math.max(this.sent.length, 1)]
  }

  /** Loses every ticket. */
  flush(): void {
    this.held = []
  }

  /** Forgets that there ever was a ticket. */
  reset(): void {
    this.flush()
    this.sent = []
  }
}

/** @returns a carrier of the platform's own that keeps its tickets in the bag. */
export function carrierOf(bag: Bag): Carrier {
  return new Carrier(new BagBackend(bag), () => {})
}

class BagBackend implements CarrierBackend {
  readonly kind = 'redis'
  readonly addedSingly = 0
  readonly #bag: Bag

  constructor(bag: Bag) {
    this.#bag = bag
  }

  createQueue(queue: string): TicketQueue {
    const put = (data: TicketData) => {
      if ('ids' in data) this.#bag.put({ queue, ids: data.ids })
    }
    return {
      waitUntilReady: async () => {},
      add: async (_name, data) => put(data),
      addBulk: async (jobs) => jobs.forEach(({ data }) => put(data)),
      pause: async () => {},
      resume: async () => {},
      isPaused: async () => false,
      close: async () => {},
      on: () => {},
    }
  }

  createWorker(): never {
    throw new Error('Tickets are taken out of the bag by hand')
  }

  async forgetWrongClocks(): Promise<void> {}
  async shedDeadTickets(): Promise<void> {}

  async migrate(): Promise<void> {}
  async check(): Promise<void> {}
  async ping(): Promise<void> {}
  async disconnect(): Promise<void> {}
}
