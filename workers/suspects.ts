import { claimJobs, findSuspect } from '@jobyard/db/claim'
import type { Database } from '@jobyard/db/connect'
import { tellsNothing, type Tells } from '@jobyard/db/telling'
import { withDeadline } from '@jobyard/queues/deadline'
import type { Logger } from 'pino'
import type { Ownership, Run } from './ownership.ts'
import { pause, type Service } from './service.ts'

export interface SuspectsOptions {
  readonly sql: Database['sql']
  readonly ownership: Ownership
  readonly queues: readonly string[]
  /** Resolves when the handler has ended. */
  readonly runAttempt: (run: Run) => Promise<void>
  /** Called when there has been none for {@link quietMs}. */
  readonly onQuiet?: (() => void) | undefined
  /** In milliseconds. */
  readonly quietMs?: number
  /** Says which events are asked for. */
  readonly tells?: Tells
  readonly log: Logger
}

/** Pause after which suspects are looked for again where there was none, in milliseconds. */
const lookEveryMs = 1_000
const defaultQuietMs = 10_000
/** Time after which an answer is not waited for any more, in milliseconds: above the time-out of statements. */
const answerWithinMs = 15_000
/**
 * Time without a further suspect after a claim whose answer is not known, in milliseconds: until then its statement has ended, and
 * the ownership check has given back what it took.
 */
const doubtMs = 20_000

/** Runs jobs that have crashed their process before: one at a time in this process, so that they take no other suspect along. */
export class Suspects implements Service {
  readonly #options: SuspectsOptions
  #stopping = new AbortController()
  #working: Promise<void> | undefined
  #claiming: Promise<Run | undefined> | undefined
  /** End of a doubt, on the monotonic clock in milliseconds. */
  #doubtUntil = 0

  constructor(options: SuspectsOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#working) return
    this.#stopping = new AbortController()
    this.#working = this.#work(this.#stopping.signal)
  }

  /** Claims no more. Resolves when no claim is under way; one that runs goes on. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#claiming?.catch(() => {})
    this.#working = undefined
  }

  /**
   * Runs one suspect, if there is one, and no other may have been claimed without our knowing.
   *
   * @returns whether there was one: once its handler has ended and its outcome is in the record, or somebody else's business.
   *   Until then a crash by the next one would be charged to this one, too.
   * @throws DeadlineError, or the driver's error.
   */
  async runOnce(): Promise<boolean> {
    const { ownership, runAttempt } = this.#options
    const run = await (this.#claiming = this.#claim())
    if (!run) return false
    await Promise.all([runAttempt(run), ownership.left(run)])
    return true
  }

  async #work(stopping: AbortSignal): Promise<void> {
    const { onQuiet, quietMs = defaultQuietMs, log } = this.#options
    let quietSince = performance.now()
    while (!stopping.aborted) {
      const ran = await this.runOnce().catch((error: unknown) => {
        log.warn({ err: error }, `Running a suspect failed; the next try is in ${lookEveryMs} ms`)
      })
      if (ran) quietSince = performance.now()
      else if (performance.now() - quietSince >= quietMs) onQuiet?.()
      if (!ran) await pause(lookEveryMs, stopping)
    }
  }

  async #claim(): Promise<Run | undefined> {
    if (performance.now() < this.#doubtUntil) return undefined
    const { sql, ownership, queues, tells = tellsNothing } = this.#options
    const id = await withDeadline(findSuspect(sql, queues), answerWithinMs, 'Looking for a suspect')
    if (id === undefined || this.#stopping.signal.aborted) return undefined
    const { workerId } = ownership
    const answered = ownership.awaitClaim([id])
    try {
      const claim = claimJobs(sql, workerId, [id], 'suspect', { tells })
      const { jobs } = await withDeadline(claim, answerWithinMs, 'Claiming a suspect')
      return ownership.adopt(jobs, workerId)[0]
    } catch (error) {
      this.#doubtUntil = performance.now() + doubtMs
      throw error
    } finally {
      answered()
    }
  }
}
