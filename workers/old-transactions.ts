import { findOldTransactions, type OldTransaction } from '@jobyard/db/old-transactions'
import type { Sql } from '@jobyard/db/connect'
import type { Logger } from 'pino'

/** Age from which an open transaction is worth an alarm, in milliseconds. */
const alarmAfterMs = 300_000

/** What to do about each kind of them. */
const remedies: Record<OldTransaction['kind'], (name: string) => string> = {
  session: (pid) => `End it where it was begun, or with select pg_terminate_backend(${pid}).`,
  prepared: (gid) => `In its database, commit or roll it back: rollback prepared '${gid}'.`,
  slot: (name) => `Connect its standby or subscriber again, or drop it: select pg_drop_replication_slot('${name}').`,
}

/** Raises an alarm about transactions that stay open: the dead rows of every queue pile up meanwhile, and claims slow down. */
export class OldTransactions {
  readonly #sql: Sql
  readonly #log: Logger
  readonly #alarmAfterMs: number

  constructor(sql: Sql, log: Logger, olderThanMs = alarmAfterMs) {
    this.#sql = sql
    this.#log = log
    this.#alarmAfterMs = olderThanMs
  }

  /** Warns of the one that holds up most. @returns how many there are, ten at most. */
  async runOnce(): Promise<number> {
    const old = await findOldTransactions(this.#sql, this.#alarmAfterMs)
    const [worst] = old
    if (worst) this.#log.warn({ ...worst, others: old.length - 1 }, sentenceOf(worst))
    return old.length
  }
}

function sentenceOf({ kind, name, database, owner, state, ageMs, transactions }: OldTransaction): string {
  const who = kind === 'session' ? `Session ${name} of ${owner}` : `${kind === 'slot' ? 'Slot' : 'Transaction'} ${name}`
  const where = database === null ? '' : ` in database ${database}`
  const since = ageMs === null ? `${transactions} transactions` : `${Math.round(ageMs / 60_000)} min`
  return `${who}${where} (${state}) has held up vacuum for ${since}, and queues slow down meanwhile. ${remedies[kind](name)}`
}
