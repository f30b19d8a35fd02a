import type { Database } from '@jobyard/db/connect'
import { findOpenTransactions } from '@jobyard/db/open-transactions'
import type { Logger } from 'pino'

/** Age from which on an open transaction is told of, in milliseconds: longer than any of our own but a handler's. */
const alarmingMs = 60_000

/** Tells of transactions that are open for so long that they slow the platform down, as long as they are. */
export class TransactionAlarm {
  readonly #sql: Database['sql']
  readonly #log: Logger
  readonly #ageMs: number

  /** @param ageMs from which on a transaction is told of, in milliseconds. */
  constructor(sql: Database['sql'], log: Logger, ageMs = alarmingMs) {
    this.#sql = sql
    this.#log = log
    this.#ageMs = ageMs
  }

  /** @returns of how many transactions it told. */
  async runOnce(): Promise<number> {
    const open = await findOpenTransactions(this.#sql, this.#ageMs)
    for (const transaction of open) {
      const { database, pid } = transaction
      this.#log.warn(
        transaction,
        `A transaction in the database ${database} has been open for long: Postgres cannot clean up meanwhile, and jobs begin later and later. ` +
          `End it: select pg_terminate_backend(${pid})`,
      )
    }
    return open.length
  }
}
