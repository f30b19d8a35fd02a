import type { Sql } from '@jobyard/db/connect'
import { endIfIdle } from '@jobyard/db/lock-runs'
import { settleAttempts } from '@jobyard/db/settle'
import type { TransactionPool } from '@jobyard/db/transaction'
import { interruptionBy, unlessInterrupted } from './interruption.ts'
import type { Run } from './ownership.ts'

/** Thrown out of `ctx.transaction` when the attempt no longer owns its job: nothing was written. */
export class FencedError extends Error {
  override readonly name = 'FencedError'
}

/** Time from the settlement to COMMIT after which Postgres ends the transaction, so that it does not keep the row, in milliseconds. */
const commitWithinMs = 10_000

/** The one transaction a handler may end with: its writes and the settlement commit together, or neither. */
export class HandlerTransaction {
  readonly #pool: TransactionPool
  readonly #run: Run
  readonly #serialize: (output: unknown) => string
  #state: 'unused' | 'open' | 'settled' | 'interrupted' | 'unknown' = 'unused'

  /** @param serialize checks an output and turns it into JSON text. */
  constructor(pool: TransactionPool, run: Run, serialize: (output: unknown) => string) {
    this.#pool = pool
    this.#run = run
    this.#serialize = serialize
  }

  /** Whether the job is settled as completed by this transaction. */
  get settled(): boolean {
    return this.#state === 'settled'
  }

  /** Whether the connection was lost, so that only the record can tell what happened. */
  get unknown(): boolean {
    return this.#state === 'unknown'
  }

  /** Whether Postgres is to blame that it came to nothing, as far as is known. */
  get interrupted(): boolean {
    return this.unknown || this.#state === 'interrupted'
  }

  /**
   * Runs `work`, settles the job as completed with its output, and commits.
   *
   * @throws FencedError after a rollback when the attempt does not own the job any more; what `work` threw, after a rollback.
   */
  async execute<Output>(work: (sql: Sql) => Promise<Output>): Promise<Output> {
    if (this.#state !== 'unused')
      throw new Error('ctx.transaction may be called once, as the last thing a handler does')
    this.#state = 'open'
    try {
      const output = await this.#pool.run(async (sql) => {
        const result = await work(sql)
        await this.#settle(sql, result)
        return result
      }, this.#run.signal)
      this.#state = 'settled'
      return output
    } catch (error) {
      this.#state = interruptionBy(error) ?? this.#state
      throw error
    }
  }

  async #settle(sql: Sql, output: unknown): Promise<void> {
    const { id, epoch } = this.#run.job
    const text = this.#serialize(output)
    const settled = await unlessInterrupted(
      endIfIdle(sql, commitWithinMs, () =>
        settleAttempts(sql, [{ id, epoch, outcome: 'completed', status: 'completed', output: text }]),
      ),
    )
    if (settled.length === 0)
      throw new FencedError(`Job ${id} is no longer owned by attempt ${epoch}; nothing was written`)
  }
}
