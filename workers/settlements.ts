import { isRowError, type Database } from '@jobyard/db/connect'
import { settleAttempts, type Settled, type Settlement } from '@jobyard/db/settle'
import { MicroBatch } from '@jobyard/queues/micro-batch'
import type { Logger } from 'pino'
import { pause } from './service.ts'

/** Wait before a settlement that got no answer is repeated, in milliseconds. */
const repeatAfterMs = 250

/** Records how attempts ended: one statement for those that end together, repeated until Postgres answers. */
export class Settlements {
  readonly #log: Logger
  readonly #batch: MicroBatch<Settlement, Settled | undefined>

  constructor(sql: Database['sql'], log: Logger) {
    this.#log = log
    this.#batch = new MicroBatch<Settlement, Settled | undefined>({
      run: (batch) => this.#settleUntilAnswered(sql, batch),
      isItemError: isRowError,
      maxWaiting: Number.POSITIVE_INFINITY,
    })
  }

  /**
   * Settles one attempt.
   *
   * @returns what the job became; undefined when the attempt no longer owned it.
   */
  async settle(settlement: Settlement): Promise<Settled | undefined> {
    try {
      return await this.#batch.add(settlement)
    } catch (error) {
      if (!isRowError(error) || settlement.output === undefined) throw error
      return this.#batch.add(withoutOutput(settlement, error))
    }
  }

  /** Resolves when everything handed in is in the record. */
  drained(): Promise<void> {
    return this.#batch.drained()
  }

  async #settleUntilAnswered(sql: Database['sql'], batch: Settlement[]): Promise<(Settled | undefined)[]> {
    for (let failures = 0; ; failures++) {
      try {
        const settled = new Map((await settleAttempts(sql, batch)).map((row) => [`${row.id} ${row.epoch}`, row]))
        return batch.map(({ id, epoch }) => settled.get(`${id} ${epoch}`))
      } catch (error) {
        if (isRowError(error)) throw error
        if (failures === 0)
          this.#log.warn({ err: error, jobs: batch.length }, 'Settling failed, and is repeated until Postgres answers')
        await pause(repeatAfterMs)
      }
    }
  }
}

function withoutOutput({ id, epoch }: Settlement, cause: unknown): Settlement {
  const message = `Postgres refused the output: ${cause instanceof Error ? cause.message : String(cause)}`
  return { id, epoch, outcome: 'failed', status: 'failed', error: { reason: 'output_not_storable', message } }
}
