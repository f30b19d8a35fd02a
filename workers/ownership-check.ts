import type { Database } from '@jobyard/db/connect'
import { deleteSpentClaims } from '@jobyard/db/live'
import { handBack, type OwnedRun } from '@jobyard/db/requeue'
import { readOwnedRuns } from '@jobyard/db/worker-rows'
import { withDeadline } from '@jobyard/queues/deadline'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { Logger } from 'pino'
import type { Ownership } from './ownership.ts'

export interface OwnershipCheckOptions {
  readonly sql: Database['sql']
  readonly ownership: Ownership
  readonly tickets: TicketSender
  /** Time that one statement may take to be answered, in milliseconds. */
  readonly answerWithinMs: number
  readonly log: Logger
}

/** Keeps what this process remembers in step with the rows that are its own. */
export class OwnershipCheck {
  readonly #options: OwnershipCheckOptions

  constructor(options: OwnershipCheckOptions) {
    this.#options = options
  }

  /**
   * Deletes spent claims, cancels what was asked to be cancelled, and gives back rows that are mine but that I know nothing of.
   *
   * @throws DeadlineError when a statement is not answered in time, or the driver's error.
   */
  async runOnce(): Promise<void> {
    const { sql, ownership, tickets, log } = this.#options
    const { workerId } = ownership
    await this.#answered(deleteSpentClaims(sql, workerId), 'Deleting spent claims').catch((error: unknown) =>
      log.warn({ err: error }, 'Spent claims were not deleted; the next check tries again'),
    )
    const rows = await this.#answered(readOwnedRuns(sql, workerId), 'The ownership check')
    if (workerId !== ownership.workerId) return // declared dead meanwhile: its rows are orphans
    const unknown: OwnedRun[] = []
    for (const row of rows) {
      const run = ownership.find(row)
      if (run && row.cancelRequested) run.abort('cancelled')
      if (!run && !ownership.isAwaited(row.id)) unknown.push(row)
    }
    if (unknown.length === 0) return
    const returned = await this.#answered(handBack(sql, workerId, unknown), 'Giving back lost claims')
    if (returned.length > 0)
      log.warn({ jobs: returned.length }, 'Claims whose answer was lost went back to their queue')
    await tickets.send(returned)
  }

  #answered<Answer>(statement: Promise<Answer>, what: string): Promise<Answer> {
    return withDeadline(statement, this.#options.answerWithinMs, what)
  }
}
