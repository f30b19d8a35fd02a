import type { Database } from '@jobyard/db/connect'
import { findLeftOut, sweepLimit, sweepLost, type ProbeTarget } from '@jobyard/db/sweep'
import { withDeadline } from '@jobyard/queues/deadline'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { Logger } from 'pino'

/** Time after which a sweep looks at all rows again instead of those since the last probe, in milliseconds. */
const fullSweepEveryMs = 3_600_000
/** Time after which an answer is not waited for any more, in milliseconds: above the time-out of statements. */
const answerWithinMs = 15_000

/**
 * Draws the conclusion from a probe that came out of a queue: every older job still queued there has lost its ticket.
 * Remembers what earlier probes proved, so that each row is judged once.
 */
export class ProbeJudge {
  readonly #sql: Database['sql']
  readonly #tickets: TicketSender
  readonly #log: Logger
  /** By lane. A stamp that is less than the one before tells that the clock of Postgres was set back. */
  readonly #proven = new Map<string, { stamp: string; fullSweepAt: number }>()

  constructor(sql: Database['sql'], tickets: TicketSender, log: Logger) {
    this.#sql = sql
    this.#tickets = tickets
    this.#log = log
  }

  /** @returns how many jobs got a new ticket. @throws DeadlineError, or the driver's error: nothing is proved then. */
  async judge(target: ProbeTarget): Promise<number> {
    const lane = `${target.priority} ${target.queue}`
    const known = this.#proven.get(lane)
    const full = !known || target.stamp < known.stamp || performance.now() - known.fullSweepAt > fullSweepEveryMs
    const after = full ? undefined : known.stamp
    const swept = await this.#sweep(target, after)
    const leftOut = await this.#answered(findLeftOut(this.#sql, target, after))
    const fullSweepAt = full ? performance.now() : known.fullSweepAt
    this.#proven.set(lane, { stamp: leftOut ?? target.stamp, fullSweepAt })
    if (swept > 0) this.#log.warn({ ...target, jobs: swept }, 'Jobs seem to have lost their tickets, and have new ones')
    return swept
  }

  async #sweep(target: ProbeTarget, after: string | undefined): Promise<number> {
    for (let swept = 0; ;) {
      const lost = await this.#answered(sweepLost(this.#sql, target, after))
      await this.#tickets.send(lost)
      swept += lost.length
      if (lost.length < sweepLimit) return swept
    }
  }

  #answered<Answer>(statement: Promise<Answer>): Promise<Answer> {
    return withDeadline(statement, answerWithinMs, 'A sweep')
  }
}
