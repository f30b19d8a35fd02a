import type { Database } from '@jobyard/db/connect'
import { promoteDue, promoteLimit } from '@jobyard/db/promote'
import type { TicketSender } from '@jobyard/queues/tickets'

/** Moves jobs whose time has come to their queue. */
export class Ticker {
  readonly #sql: Database['sql']
  readonly #tickets: TicketSender

  constructor(sql: Database['sql'], tickets: TicketSender) {
    this.#sql = sql
    this.#tickets = tickets
  }

  /** @returns whether there may be more that is due. */
  async runOnce(): Promise<boolean> {
    const due = await promoteDue(this.#sql)
    await this.#tickets.send(due)
    return due.length === promoteLimit
  }
}
