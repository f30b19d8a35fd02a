import { claimJobs } from '@jobyard/db/claim'
import { tellsNothing, type Tells } from '@jobyard/db/telling'
import { errorCode, isRowError, type Database } from '@jobyard/db/connect'
import { withDeadline } from '@jobyard/queues/deadline'
import { groupCommitSpacingMs, MicroBatch } from '@jobyard/queues/micro-batch'
import type { Logger } from 'pino'
import type { Ownership, Run } from './ownership.ts'
import { pause } from './service.ts'

/** Wait before a claim that failed is repeated, in milliseconds. */
const repeatAfterMs = 250
/** Jobs in one statement, beyond a single ticket that has more. */
const maxJobs = 500
/** Time after which an answer is not waited for any more, in milliseconds: above the time-out of statements. */
const answerWithinMs = 15_000

/** Thrown to those who wait for a claim when the process stops: their tickets stay where they are. */
export class ClaimsStoppedError extends Error {
  override readonly name = 'ClaimsStoppedError'
}

/** Turns the ids of tickets into runs: one statement for the tickets of all queues that arrive together. */
export class Claims {
  readonly #sql: Database['sql']
  readonly #ownership: Ownership
  readonly #tells: Tells
  readonly #log: Logger
  readonly #batch: MicroBatch<readonly string[], Run[]>
  readonly #stopping = new AbortController()
  /** Statements that are being repeated. */
  #failing = 0

  /** @param tells says which events are asked for. */
  constructor(sql: Database['sql'], ownership: Ownership, log: Logger, tells: Tells = tellsNothing) {
    this.#tells = tells
    this.#sql = sql
    this.#ownership = ownership
    this.#log = log
    this.#batch = new MicroBatch<readonly string[], Run[]>({
      run: (tickets) => this.#claim(tickets),
      spacingMs: groupCommitSpacingMs,
      weigh: (ids) => ids.length,
      maxWeight: maxJobs,
    })
  }

  /** False while claims fail: nobody should fetch a ticket then. */
  get open(): boolean {
    return this.#failing === 0 && !this.#stopping.signal.aborted
  }

  /**
   * Claims the jobs of one ticket, repeating until Postgres answers.
   *
   * @returns a run for each job that was still to be had.
   * @throws ClaimsStoppedError after {@link stop}.
   */
  claim(ids: readonly string[]): Promise<Run[]> {
    return this.#batch.add(ids)
  }

  /** Makes claims that cannot get an answer give up. */
  stop(): void {
    this.#stopping.abort()
  }

  async #claim(tickets: (readonly string[])[]): Promise<Run[][]> {
    const runs = new Map((await this.#claimUntilAnswered([...new Set(tickets.flat())])).map((run) => [run.job.id, run]))
    return tickets.map((ids) =>
      ids.flatMap((id) => {
        const run = runs.get(id)
        runs.delete(id)
        return run ? [run] : []
      }),
    )
  }

  async #claimUntilAnswered(ids: string[]): Promise<Run[]> {
    const answered = this.#ownership.awaitClaim(ids)
    let failures = 0
    try {
      for (;;) {
        const runs = await this.#claimOnce(ids)
        if (runs) return runs
        if (failures++ === 0) this.#failing += 1
        await pause(repeatAfterMs, this.#stopping.signal)
        if (this.#stopping.signal.aborted) throw new ClaimsStoppedError('The worker stops')
      }
    } finally {
      if (failures > 0) this.#failing -= 1
      answered()
    }
  }

  /** @returns undefined when the claim has to be repeated: Postgres erred, or this process was declared dead. */
  async #claimOnce(ids: string[], skipLocked = false): Promise<Run[] | undefined> {
    const { workerId } = this.#ownership
    try {
      const claim = claimJobs(this.#sql, workerId, ids, 'ordinary', { skipLocked, tells: this.#tells })
      const { alive, jobs } = await withDeadline(claim, answerWithinMs, 'Claiming')
      return alive ? this.#ownership.adopt(jobs, workerId) : undefined
    } catch (error) {
      if (isRowError(error)) return this.#claimApart(ids, error)
      if (waitedTooLong(error) && !skipLocked) {
        this.#log.warn({ err: error }, 'Jobs that are locked stay queued; a probe will find them')
        return this.#claimOnce(ids, true)
      }
      if (this.#failing === 0)
        this.#log.warn({ err: error }, 'Claiming failed; no tickets are fetched until Postgres answers')
      return undefined
    }
  }

  /** Finds the job that Postgres cannot claim, so that it holds up no other. */
  async #claimApart(ids: string[], error: unknown): Promise<Run[]> {
    if (ids.length === 1) {
      this.#log.error({ err: error, jobId: ids[0] }, 'A job cannot be claimed; it stays queued')
      return []
    }
    const half = ids.length >> 1
    return [
      ...(await this.#claimUntilAnswered(ids.slice(0, half))),
      ...(await this.#claimUntilAnswered(ids.slice(half))),
    ]
  }
}

/** Tells that a statement was cancelled, which most often waited for the lock on a row. */
function waitedTooLong(error: unknown): boolean {
  return /^(57014|55P03)$/.test(errorCode(error))
}
