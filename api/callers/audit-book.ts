import { insertAuditEntries, noteAuditOutcomes, type AuditOutcome, type NewAuditEntry } from '@jobyard/db/audit-log'
import type { Sql } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { logTogether } from '@jobyard/queues/log-together'
import { MicroBatch } from '@jobyard/queues/micro-batch'
import type { FastifyBaseLogger } from 'fastify'

/** Time after which an outcome that could not be written is tried again, in milliseconds, and how often. */
const againAfterMs = 1_000
const tries = 30

/** Writes into the audit log: what is asked for before it is done, and how it ended afterwards. */
export class AuditBook {
  readonly #entries: MicroBatch<NewAuditEntry, void>
  readonly #outcomes: MicroBatch<AuditOutcome, void>
  readonly #logTrouble: (error: unknown) => void

  constructor(sql: Sql, log: FastifyBaseLogger) {
    this.#entries = new MicroBatch({ run: each((entries) => insertAuditEntries(sql, entries)), lanes: 1 })
    this.#outcomes = new MicroBatch({ run: each((outcomes) => noteAuditOutcomes(sql, outcomes)), lanes: 1 })
    this.#logTrouble = logTogether(log, 'outcomes', 'Outcomes could not be written into the audit log')
  }

  /** Resolves with the id of the entry when it is written. @throws the driver's error: what was asked for must not be done then. */
  async note(entry: Omit<NewAuditEntry, 'id'>): Promise<string> {
    const id = newId()
    await this.#entries.add({ id, ...entry })
    return id
  }

  /** Adds how it ended, in its own time. */
  noteOutcome(outcome: AuditOutcome): void {
    void this.#tryOutcome(outcome, tries)
  }

  /** Resolves when nothing is being written. */
  drained(): Promise<void> {
    return this.#outcomes.drained()
  }

  async #tryOutcome(outcome: AuditOutcome, left: number): Promise<void> {
    try {
      await this.#outcomes.add(outcome)
    } catch (error) {
      this.#logTrouble(error)
      if (left > 1) setTimeout(() => void this.#tryOutcome(outcome, left - 1), againAfterMs).unref()
    }
  }
}

function each<Item>(write: (items: Item[]) => Promise<void>): (items: Item[]) => Promise<void[]> {
  return async (items) => {
    await write(items)
    return items.map(() => undefined)
  }
}
