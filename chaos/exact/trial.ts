import { setTimeout as delay } from 'node:timers/promises'
import { newId } from '@jobyard/db/ids'
import type { TerminalStatus } from '@jobyard/db/statuses'
import type { Answer, ExtraWorker, ItemAnswer, Lane, Request } from './lane.ts'
import type { Scene } from './scene.ts'

/** How a job must end, whatever happens to the calls around it. */
export interface Expected {
  readonly status: TerminalStatus
  readonly attemptsMade: number
  /** Of its error. */
  readonly reason?: string
  /** Whether its handler writes in the transaction that completes it. */
  readonly writes?: boolean
}

/** Expectations of most lives. */
export const ends = {
  completed: { status: 'completed', attemptsMade: 1 },
  writing: { status: 'completed', attemptsMade: 1, writes: true },
  retried: { status: 'completed', attemptsMade: 2 },
  hopeless: { status: 'failed', attemptsMade: 1, reason: 'hopeless' },
  timedOut: { status: 'failed', attemptsMade: 1, reason: 'timed_out' },
  expired: { status: 'failed', attemptsMade: 0, reason: 'expired' },
  cancelled: { status: 'cancelled', attemptsMade: 0 },
} satisfies Record<string, Expected>

/** A job that a life submits. */
export interface Submission {
  readonly type: string
  readonly end: Expected
  /** What a job must come to that was made of this one by redriving it. */
  readonly redrivenEnd?: Expected
  /** Times that its worker may die; never, when absent. */
  readonly crashes?: number
  readonly act?: string
  readonly key?: string
  /** Further fields: of the input where it is an echo, else of the request. */
  readonly input?: Record<string, unknown>
  readonly more?: Record<string, unknown>
}

/** Thrown when something has not happened in time. */
export class TrialStuckError extends Error {
  override readonly name = 'TrialStuckError'
}

/** Time after which a platform has not healed, in milliseconds. */
const healedWithinMs = 60_000
/** Time that a worker may take to stop beyond its grace, in milliseconds, as in queues/process.ts. */
const afterGraceMs = 15_000
const lookEveryMs = 15
const callAgainMs = 40

/** One playing of a life: what the client does, is told, and may expect. */
export class Trial {
  readonly lane: Lane
  readonly scene: Scene
  /** Jobs of this trial have greater ids. */
  readonly since = newId()
  /** By the value of the input. */
  readonly expected = new Map<string, Submission>()
  /** Ids that were answered with 2xx, and their value. */
  readonly accepted = new Map<string, string>()
  readonly #deadline = performance.now() + healedWithinMs
  readonly #workers = new Set<ExtraWorker>()

  constructor(lane: Lane, scene: Scene) {
    this.lane = lane
    this.scene = scene
  }

  /** Calls the API until it gives an answer other than that it does not know. */
  async call(request: Request): Promise<Answer> {
    for (;;) {
      const answer = await this.callOnce(request)
      if (answer.status < 500) return answer
      this.#checkTime(`${request.method} ${request.path} is not answered`)
      await delay(callAgainMs)
    }
  }

  async callOnce(request: Request): Promise<Answer> {
    const { method, path } = request
    const answer = await this.lane.call(request)
    const told = answer.body.id ?? (answer.status < 300 ? '' : JSON.stringify(answer.body))
    this.scene.note(`the client is answered ${answer.status} to ${method} ${path} ${told}`)
    if (answer.status === 500) this.#noteWrongAnswer(`500 to ${method} ${path}`)
    return answer
  }

  /** Submits a job, again and again until it is accepted. @returns its id. */
  async submit(submission: Submission, headers: Record<string, string> = {}): Promise<string> {
    const { idempotencyKey, ...body } = this.prepare(submission)
    const key = idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }
    const answer = await this.call({ method: 'POST', path: '/v1/jobs', body, headers: { ...headers, ...key } })
    if (answer.status === 200 && answer.body.status !== submission.end.status) {
      this.#noteWrongAnswer(`200 with a job that is ${answer.body.status}`)
    }
    return this.noteAccepted(answer, valueOf(body))
  }

  /** Notes that a job was accepted. @returns its id. @throws Error when it was refused. */
  noteAccepted({ status, body }: Answer, value: string): string {
    if (status >= 300 || body.id === undefined) throw new Error(`A job was refused: ${JSON.stringify(body)}`)
    this.accepted.set(body.id, value)
    return body.id
  }

  /** Submits jobs together, those that were not accepted again until they are. @returns their ids. */
  async submitAll(submissions: readonly Submission[], ndjson = false): Promise<string[]> {
    const items = submissions.map((submission) => this.prepare(submission))
    const ids: string[] = []
    for (let left = [...items.keys()]; left.length > 0;) {
      const answer = await this.call(
        batchRequest(
          left.map((index) => items[index]),
          ndjson,
        ),
      )
      const answers = itemsOf(answer)
      left = left.filter((index, at) => {
        const { id, problem } = answers[at] ?? {}
        if (id === undefined && problem && problem.status < 500) throw new Error(JSON.stringify(problem))
        if (id === undefined) return true
        ids[index] = id
        this.accepted.set(id, valueOf(items[index]))
        return false
      })
      this.#checkTime('A batch is not accepted')
      if (left.length > 0) await delay(callAgainMs)
    }
    return ids
  }

  /** Notes what may be expected of a job. @returns it as an item of a batch. */
  prepare(submission: Submission): { type: string; input: unknown; idempotencyKey?: string } {
    const { type, act, key, input, more } = submission
    const value = `value ${this.expected.size} of ${this.since}`
    this.expected.set(value, submission)
    return {
      type,
      input: type === 'echo' ? { value, ...input } : { value, act: act ?? '' },
      ...more,
      ...(key !== undefined && { idempotencyKey: `${key} of ${this.since}` }),
    }
  }

  async setPaused(queue: string, paused: boolean): Promise<void> {
    await this.call({ method: 'POST', path: `/v1/queues/${queue}/${paused ? 'pause' : 'resume'}` })
  }

  /** Cancels a job. */
  async cancel(id: string): Promise<void> {
    await this.call({ method: 'POST', path: `/v1/jobs/${id}/cancel` })
  }

  /** Waits until a worker runs the job. */
  async begun(id: string): Promise<void> {
    let begun = false
    void this.scene.begun(id).then(() => (begun = true))
    await this.until(`Job ${id} has not begun`, async () => begun)
  }

  /** Waits until the jobs of this trial so far have ended. */
  async ended(): Promise<void> {
    await this.until('Jobs have not ended', async () => {
      const [row] = await this.lane.sql<{ unfinished: number; found: number }[]>`
        select count(*) filter (where finished_at is null)::int as unfinished,
          count(*) filter (where id = any(${[...this.accepted.keys()]}::uuid[]))::int as found
        from jobs where id > ${this.since}`
      return row?.unfinished === 0 && row.found === this.accepted.size
    })
  }

  /** Waits until something holds, looking at it again and again. */
  async until(otherwise: string, holds: () => Promise<boolean>): Promise<void> {
    while (!(await holds())) {
      this.#checkTime(otherwise)
      await delay(lookEveryMs)
    }
  }

  /** Starts a worker, again and again until it has started, as whoever keeps processes running would do. */
  async startWorker(role: string): Promise<ExtraWorker> {
    for (;;) {
      try {
        const worker = await this.lane.startWorker(role)
        this.#workers.add(worker)
        return worker
      } catch (error) {
        this.scene.note(`${role} does not start: ${String(error)}`)
        this.#checkTime(`${role} does not start`)
        await delay(callAgainMs)
      }
    }
  }

  async stopWorker(worker: ExtraWorker, graceMs: number): Promise<void> {
    this.#workers.delete(worker)
    const started = performance.now()
    await worker.stop(graceMs)
    const tookMs = Math.round(performance.now() - started)
    this.scene.note(`a worker has stopped, in ${tookMs} ms`)
    if (tookMs > graceMs + afterGraceMs) throw new TrialStuckError(`A worker took ${tookMs} ms to stop`)
  }

  /** Stops the workers that are left. */
  async clear(): Promise<void> {
    void this.scene.drop()
    await Promise.all([...this.#workers].map((worker) => this.stopWorker(worker, 0)))
  }

  /** Notes what the API must not answer, whatever happens. */
  #noteWrongAnswer(what: string): void {
    this.scene.wrongs.push({ invariant: 'API', what: `the client was answered ${what}` })
  }

  #checkTime(otherwise: string): void {
    if (performance.now() > this.#deadline) throw new TrialStuckError(`${otherwise} within ${healedWithinMs / 1_000} s`)
  }
}

function valueOf(item: unknown): string {
  return (item as { input: { value: string } }).input.value
}

function batchRequest(items: readonly unknown[], ndjson: boolean): Request {
  const lines = () => items.map((item) => `${JSON.stringify(item)}\n`).join('')
  return {
    method: 'POST',
    path: '/v1/jobs/batch',
    body: ndjson ? lines() : { jobs: items },
    headers: { 'content-type': ndjson ? 'application/x-ndjson' : 'application/json' },
  }
}

function itemsOf({ status, body }: Answer): readonly ItemAnswer[] {
  if (status !== 202) throw new Error(`A batch was refused: ${JSON.stringify(body)}`)
  return body.items ?? []
}
