import type { ClaimedJob } from '@jobyard/db/claim'
import { newId } from '@jobyard/db/ids'
import type { OwnedRun } from '@jobyard/db/requeue'

/** Why a run was told to stop. The first two are settled; the other two leave the row to somebody else. */
export type AbortCause = 'timed_out' | 'cancelled' | 'handed_back' | 'lost'

/** The reason of a handler's signal. */
export class JobAbortedError extends Error {
  override readonly name = 'AbortError'
  override readonly cause: AbortCause

  constructor(cause: AbortCause) {
    super(`The job was aborted: ${cause}`)
    this.cause = cause
  }
}

/** One claimed job, from the claim until its outcome is in the record. */
export class Run {
  readonly job: ClaimedJob
  readonly workerId: string
  #abortCause: AbortCause | undefined
  #onAbort: (() => void) | undefined
  #controller: AbortController | undefined

  constructor(job: ClaimedJob, workerId: string) {
    this.job = job
    this.workerId = workerId
  }

  /** For the handler; made when it is asked for, since most handlers never do. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    this.#abortController()
    return this.#controller.signal
  }

  get abortCause(): AbortCause | undefined {
    return this.#abortCause
  }

  /** Calls `listener` when the run is aborted, or now if it has been; one listener at a time. */
  onAbort(listener: () => void): void {
    this.#onAbort = listener
    if (this.#abortCause) listener()
  }

  /** Tells the handler to stop; only the first cause counts. */
  abort(cause: AbortCause): void {
    if (this.#abortCause) return
    this.#abortCause = cause
    this.#abortController()
    this.#onAbort?.()
  }

  #abortController(): void {
    if (this.#abortCause && this.#controller && !this.#controller.signal.aborted) {
      this.#controller.abort(new JobAbortedError(this.#abortCause))
    }
  }
}

/** What this worker process remembers: its id in the record, its runs, and the ids of claims it awaits. */
export class Ownership {
  #workerId = newId()
  readonly #runs = new Map<string, Run>()
  readonly #awaited = new Map<string, number>()
  #idle: (() => void)[] = []
  readonly #leaving = new Map<Run, () => void>()

  get workerId(): string {
    return this.#workerId
  }

  get runs(): Iterable<Run> {
    return this.#runs.values()
  }

  get size(): number {
    return this.#runs.size
  }

  /** Notes that a claim of these ids was sent; the returned function notes its answer. */
  awaitClaim(ids: readonly string[]): () => void {
    for (const id of ids) this.#awaited.set(id, (this.#awaited.get(id) ?? 0) + 1)
    return () => {
      for (const id of ids) {
        const left = (this.#awaited.get(id) ?? 1) - 1
        if (left === 0) this.#awaited.delete(id)
        else this.#awaited.set(id, left)
      }
    }
  }

  /** Takes note of jobs claimed under `workerId`. A reply to an id that was given up since is ignored: its rows are orphans. */
  adopt(jobs: readonly ClaimedJob[], workerId: string): Run[] {
    if (workerId !== this.#workerId) return []
    return jobs.map((job) => {
      const run = new Run(job, workerId)
      this.#runs.set(job.id, run)
      return run
    })
  }

  /** Forgets a run whose outcome is in the record, or is somebody else's business. */
  forget(run: Run): void {
    if (this.#runs.get(run.job.id) === run) this.#runs.delete(run.job.id)
    this.#tellLeft(run)
    this.#tellIdle()
  }

  /** @returns the run of exactly this claim. */
  find({ id, epoch }: OwnedRun): Run | undefined {
    const run = this.#runs.get(id)
    return run?.job.epoch === epoch ? run : undefined
  }

  /** @returns whether a claim of this id was sent and not answered yet. */
  isAwaited(id: string): boolean {
    return this.#awaited.has(id)
  }

  /** Aborts and forgets every run. */
  abortAll(cause: AbortCause): void {
    for (const run of this.#runs.values()) {
      run.abort(cause)
      this.#tellLeft(run)
    }
    this.#runs.clear()
    this.#tellIdle()
  }

  /** Starts over under a new id, after this process was declared dead. */
  renew(): void {
    this.#workerId = newId()
    this.abortAll('lost')
  }

  /** Resolves when no run is left. */
  async idle(): Promise<void> {
    if (this.#runs.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** Resolves when this run is not owned any more. */
  async left(run: Run): Promise<void> {
    if (this.#runs.get(run.job.id) === run) await new Promise<void>((resolve) => this.#leaving.set(run, resolve))
  }

  #tellLeft(run: Run): void {
    this.#leaving.get(run)?.()
    this.#leaving.delete(run)
  }

  #tellIdle(): void {
    if (this.#runs.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }
}
