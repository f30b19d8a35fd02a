import { errorCode, isRowError, type Database } from '@jobyard/db/connect'
import { settleAttempts, type Settled, type Settlement } from '@jobyard/db/settle'
import { tellsNothing, type Tells } from '@jobyard/db/telling'
import { withDeadline } from '@jobyard/queues/deadline'
import { groupCommitSpacingMs, MicroBatch } from '@jobyard/queues/micro-batch'
import type { Logger } from 'pino'
import { pause } from './service.ts'

/** Wait before a settlement that got no answer is repeated, in milliseconds. */
const repeatAfterMs = 250
/** Wait before a settlement is repeated whose row cannot be written now, in milliseconds. */
const repeatHeldUpAfterMs = 1_000
/** Outputs in one statement at most, in characters. */
const batchBytes = 16 * 1_048_576
/** Outcomes on their way to the record from which on slots wait for theirs. */
const congestedFrom = 2_000
/** The same of their outputs, in characters. */
const congestedBytes = 4 * batchBytes
/** Time after which an answer is not waited for any more, in milliseconds: above the time-out of statements. */
const answerWithinMs = 15_000

/** Records how attempts ended: one statement for those that end together, repeated until Postgres answers. */
export class Settlements {
  readonly #log: Logger
  readonly #tells: Tells
  readonly #batch: MicroBatch<Settlement, Settled | undefined>
  /** For batches with a row that cannot be written now, so that they hold up no others. */
  readonly #slowBatch: MicroBatch<Settlement, Settled | undefined>
  readonly #heldUp = new Set<Promise<unknown>>()

  /** @param tells says which events are asked for. */
  constructor(sql: Database['sql'], log: Logger, tells: Tells = tellsNothing) {
    this.#log = log
    this.#tells = tells
    const options = {
      run: (batch: Settlement[]) => this.#settleUntilAnswered(sql, batch),
      maxWaiting: Number.POSITIVE_INFINITY,
      weigh: ({ output }: Settlement) => output?.length ?? 0,
      maxWeight: batchBytes,
    }
    const isItemError = (error: unknown) => !mayBeOneRow(error)
    this.#batch = new MicroBatch({ ...options, isItemError, spacingMs: groupCommitSpacingMs })
    this.#slowBatch = new MicroBatch({ ...options, isItemError: () => true })
  }

  /**
   * Settles one attempt.
   *
   * @returns what the job became; undefined when the attempt no longer owned it.
   */
  async settle(settlement: Settlement): Promise<Settled | undefined> {
    try {
      return await this.#record(settlement)
    } catch (error) {
      this.#log.error({ err: error, jobId: settlement.id }, 'An outcome cannot be stored; the job fails instead')
      return this.#record(notStorable(settlement, error))
    }
  }

  /**
   * Settles attempts that ended together.
   *
   * @returns what each job became, in order; undefined where the attempt no longer owned it.
   */
  settleAll(settlements: readonly Settlement[]): Promise<(Settled | undefined)[]> {
    return Promise.all(settlements.map((settlement) => this.settle(settlement)))
  }

  /** Whether so many outcomes wait for Postgres that no slot should be free before its own is recorded. */
  get congested(): boolean {
    return this.#batch.size + this.#heldUp.size > congestedFrom || this.#batch.weight > congestedBytes
  }

  /** Resolves when everything handed in is in the record. */
  async drained(): Promise<void> {
    while (this.#batch.size + this.#heldUp.size > 0) await Promise.allSettled([this.#batch.drained(), ...this.#heldUp])
  }

  async #record(settlement: Settlement): Promise<Settled | undefined> {
    try {
      return await this.#batch.add(settlement)
    } catch (error) {
      if (!mayBeOneRow(error)) throw error
    }
    const recording = this.#recordWhenFree(settlement).finally(() => this.#heldUp.delete(recording))
    this.#heldUp.add(recording)
    return recording
  }

  async #recordWhenFree(settlement: Settlement): Promise<Settled | undefined> {
    for (let failures = 0; ; failures++) {
      try {
        return await this.#slowBatch.add(settlement)
      } catch (error) {
        if (!mayBeOneRow(error)) throw error
        if (failures === 0)
          this.#log.warn({ err: error, jobId: settlement.id }, 'An outcome cannot be recorded now, and is tried again')
        await pause(repeatHeldUpAfterMs)
      }
    }
  }

  async #settleUntilAnswered(sql: Database['sql'], batch: Settlement[]): Promise<(Settled | undefined)[]> {
    for (let failures = 0; ; failures++) {
      try {
        const rows = await withDeadline(settleAttempts(sql, batch, this.#tells), answerWithinMs, 'Settling')
        const settled = new Map(rows.map((row) => [`${row.id} ${row.epoch}`, row]))
        return batch.map(({ id, epoch }) => settled.get(`${id} ${epoch}`))
      } catch (error) {
        if (mayBeOneRow(error) || cannotBeStored(batch, error)) throw error
        if (failures === 0)
          this.#log.warn({ err: error, jobs: batch.length }, 'Settling failed, and is repeated until Postgres answers')
        await pause(repeatAfterMs)
      }
    }
  }
}

/**
 * Tells trouble that may come from one row only: somebody keeps it locked, it lies on a page that is broken, or a trigger refuses it.
 * It passes, or an operator ends it, and until then it must not hold up the others.
 */
function mayBeOneRow(error: unknown): boolean {
  return /^(57014|55P03|42|P0|XX)/.test(errorCode(error))
}

/** Whether an outcome among these is to blame, and not the infrastructure: whatever else happens passes by itself. */
function cannotBeStored(batch: readonly Settlement[], error: unknown): boolean {
  return isRowError(error) || !batch.every(isSerializable)
}

/** Whether it can be written down at all: reasons come from handlers. */
function isSerializable({ error }: Settlement): boolean {
  try {
    JSON.stringify(error)
    return true
  } catch {
    return false
  }
}

function notStorable({ id, epoch }: Settlement, cause: unknown): Settlement {
  const message = `The outcome cannot be stored: ${cause instanceof Error ? cause.message : String(cause)}`
  return { id, epoch, outcome: 'failed', status: 'failed', error: { reason: 'output_not_storable', message } }
}
