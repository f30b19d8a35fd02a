import type { JobContext } from '@jobyard/workers/define-handler'

/** Something that was seen while a life was played. */
export interface Note {
  readonly at: Date
  /** Absent where it concerns all the jobs of the life. */
  readonly jobId?: string
  readonly text: string
}

/** A promise that was seen to be broken. */
export interface Wrong {
  /** Number of the promise, e.g. `I7`. */
  readonly invariant: string
  readonly what: string
}

/** A worker's share of a queue. */
export interface Seat {
  readonly role: string
  readonly queue: string
  /** Jobs that may run at once. */
  readonly slots: number
}

/** Where one life of jobs is played: handlers tell it what they do, and those who watch wait for that. */
export class Scene {
  readonly notes: Note[] = []
  readonly wrongs: Wrong[] = []
  /** Whether a job may run twice at once, since a worker that runs it is being cut off. */
  mayOverlap = false
  readonly #running: { readonly seat: Seat; readonly jobId: string }[] = []
  readonly #begun = new Map<string, PromiseWithResolvers<void>>()
  readonly #run = new Set<string>()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #curtain = Promise.withResolvers<void>()

  note(text: string, jobId?: string): void {
    this.notes.push({ at: new Date(), text, ...(jobId !== undefined && { jobId }) })
  }

  /** Runs a handler. */
  async watch<Result>(seat: Seat, jobs: readonly JobContext[], run: () => Promise<Result>): Promise<Result> {
    for (const { jobId, attempt } of jobs) {
      this.note(`${seat.role} runs its attempt ${attempt}`, jobId)
      if (!this.mayOverlap && this.#running.some((other) => other.jobId === jobId)) {
        this.wrongs.push({ invariant: 'I7', what: `job ${jobId} runs twice at once` })
      }
      this.#running.push({ seat, jobId })
      this.#beginningOf(jobId).resolve()
    }
    const atOnce = this.#running.filter((other) => other.seat === seat).length
    if (atOnce > seat.slots) this.wrongs.push({ invariant: 'I7', what: `${seat.role} runs ${atOnce} jobs at once` })
    const running = run()
    this.#underWay.add(running)
    try {
      const result = await running
      this.#end(seat, jobs, `${seat.role} is through with it`)
      return result
    } catch (error) {
      this.#end(seat, jobs, `${seat.role} gives it up: ${String(error)}`)
      throw error
    } finally {
      this.#underWay.delete(running)
    }
  }

  /** Resolves when some worker has begun to run the job. */
  begun(jobId: string): Promise<void> {
    return this.#beginningOf(jobId).promise
  }

  /** @returns whether this is asked about the job for the first time. */
  isFirst(jobId: string): boolean {
    if (this.#run.has(jobId)) return false
    this.#run.add(jobId)
    return true
  }

  /** Resolves when late handlers may end. */
  get curtain(): Promise<void> {
    return this.#curtain.promise
  }

  /** Lets late handlers end. @returns when no handler runs any more. */
  async drop(): Promise<void> {
    this.#curtain.resolve()
    await Promise.allSettled(this.#underWay)
  }

  #end(seat: Seat, jobs: readonly JobContext[], how: string): void {
    for (const { jobId } of jobs) {
      this.note(how, jobId)
      const at = this.#running.findIndex((run) => run.seat === seat && run.jobId === jobId)
      this.#running.splice(at, 1)
    }
  }

  #beginningOf(jobId: string): PromiseWithResolvers<void> {
    const beginning = this.#begun.get(jobId) ?? Promise.withResolvers<void>()
    this.#begun.set(jobId, beginning)
    return beginning
  }
}
