import type { JobContext } from '@jobyard/workers/define-handler'

/** Something that was seen while a life was played. */
export interface Note {
  readonly at: Date
  /** Absent where it concerns all the jobs of the life. */
  readonly jobId?: string
  readonly text: string
}

/** Where one life of jobs is played: handlers tell it what they do, and those who watch wait for that. */
export class Scene {
  readonly notes: Note[] = []
  readonly #begun = new Map<string, PromiseWithResolvers<void>>()
  readonly #run = new Set<string>()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #curtain = Promise.withResolvers<void>()

  note(text: string, jobId?: string): void {
    this.notes.push({ at: new Date(), text, ...(jobId !== undefined && { jobId }) })
  }

  /** Runs a handler. */
  async watch<Result>(role: string, jobs: readonly JobContext[], run: () => Promise<Result>): Promise<Result> {
    for (const { jobId, attempt } of jobs) {
      this.note(`${role} runs its attempt ${attempt}`, jobId)
      this.#beginningOf(jobId).resolve()
    }
    const running = run()
    this.#underWay.add(running)
    const tell = (ended: string) => {
      this.#underWay.delete(running)
      for (const { jobId } of jobs) this.note(`${role} ${ended}`, jobId)
    }
    try {
      const result = await running
      tell('is through with it')
      return result
    } catch (error) {
      tell(`gives it up: ${String(error)}`)
      throw error
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

  #beginningOf(jobId: string): PromiseWithResolvers<void> {
    const beginning = this.#begun.get(jobId) ?? Promise.withResolvers<void>()
    this.#begun.set(jobId, beginning)
    return beginning
  }
}
