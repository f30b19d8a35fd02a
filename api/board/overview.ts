import { countBoardQueues, type BoardQueue } from '@jobyard/db/board'
import type { Sql } from '@jobyard/db/connect'

/** Reads the counts of all queues in one statement, although Bull Board asks queue by queue. */
export class Overview {
  readonly #sql: Sql
  readonly #tenant: string
  #shared: Promise<Map<string, BoardQueue>> | undefined

  constructor(sql: Sql, tenant: string) {
    this.#sql = sql
    this.#tenant = tenant
  }

  /** Questions of the same tick share an answer, so none is older than its question. */
  read(): Promise<Map<string, BoardQueue>> {
    if (this.#shared) return this.#shared
    queueMicrotask(() => (this.#shared = undefined))
    return (this.#shared = this.#count())
  }

  async #count(): Promise<Map<string, BoardQueue>> {
    const queues = await countBoardQueues(this.#sql, this.#tenant)
    return new Map(queues.map((queue) => [queue.name, queue]))
  }
}
