import { setTimeout as delay } from 'node:timers/promises'
import { call } from './call.ts'

/** One job to submit. */
export interface Submission {
  readonly type: string
  readonly input: unknown
  readonly delayMs?: number
  readonly runAt?: string
  readonly timeoutMs?: number
  readonly maxAttempts?: number
}

/** What trials look at of a job, as the API shows it. */
export interface JobView {
  readonly id: string
  readonly status: string
  readonly output?: unknown
  readonly error?: { readonly reason: string; readonly message: string }
  readonly attempts: readonly { readonly outcome: string; readonly startedAt: string; readonly finishedAt: string }[]
  readonly attemptsMade: number
  readonly createdAt: string
  readonly startedAt?: string
  readonly finishedAt?: string
}

/** An answer that came. */
interface Answered<Body> {
  readonly status: number
  readonly body: Body
}

const pollEveryMs = 50
/** Jobs that one request may carry. */
const largestBatch = 1_000

/** Submits, reads and cancels single jobs over HTTP; an answer that is none of those expected is an error. */
export class Caller {
  readonly #api: () => string | undefined

  /** @param api `http://host:port` of an API that works; another one at each call. */
  constructor(api: () => string | undefined) {
    this.#api = api
  }

  /** @returns the id of the accepted job. */
  async submit(job: Submission): Promise<string> {
    const { status, body } = await this.#call<{ id: string }>('POST', '/v1/jobs', job)
    if (status !== 202) throw new Error(`${job.type} was answered with ${status}: ${JSON.stringify(body)}`)
    return body.id
  }

  /** @returns the ids of the accepted jobs, in their order. */
  async submitAll(jobs: readonly Submission[]): Promise<string[]> {
    const ids: string[] = []
    for (let from = 0; from < jobs.length; from += largestBatch) {
      const batch = { jobs: jobs.slice(from, from + largestBatch) }
      const { status, body } = await this.#call<{ items: { id: string }[] }>('POST', '/v1/jobs/batch', batch)
      if (status !== 202) throw new Error(`A batch was answered with ${status}: ${JSON.stringify(body).slice(0, 500)}`)
      ids.push(...body.items.map(({ id }) => id))
    }
    return ids
  }

  async read(id: string): Promise<JobView> {
    const { status, body } = await this.#call<JobView>('GET', `/v1/jobs/${id}`)
    if (status !== 200) throw new Error(`Job ${id} was answered with ${status}: ${JSON.stringify(body)}`)
    return body
  }

  /** Asks for a cancellation. @returns the answer, whatever it is. */
  cancel(id: string): Promise<Answered<{ status: string; detail?: string }>> {
    return this.#call('POST', `/v1/jobs/${id}/cancel`)
  }

  /**
   * Waits until these jobs have ended.
   *
   * @returns them in their order, as they are then or after `withinMs` milliseconds.
   */
  async ended(ids: readonly string[], withinMs: number): Promise<JobView[]> {
    const until = performance.now() + withinMs
    const views: JobView[] = []
    for (const id of ids) {
      let view = await this.read(id)
      while (view.finishedAt === undefined && performance.now() < until) {
        await delay(pollEveryMs)
        view = await this.read(id)
      }
      views.push(view)
    }
    return views
  }

  async #call<Body>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answered<Body>> {
    const answer = await call(this.#api(), path, { method, body })
    if (!answer) throw new Error(`Nobody answered ${method} ${path}`)
    return { status: answer.status, body: answer.body as Body }
  }
}
