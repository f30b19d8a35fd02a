import { setTimeout } from 'node:timers/promises'
import type { PlannedJob } from './plan.ts'

/** Posts under way at once. */
const connections = 64
const maxTries = 5
/** Every so many jobs one is posted again with the same key, as by a client that missed the answer. */
const repeatEvery = 50

/** What the API told the client. */
export interface Submitted {
  /** The job behind each id that was answered with 202, in no order. */
  readonly accepted: ReadonlyMap<string, PlannedJob>
  /** Posts that were repeated with the same idempotency key, and how many of those named another job. */
  readonly repeated: number
  readonly repeatedWrongly: number
  /** How long all the posting took, in milliseconds. */
  readonly tookMs: number
}

export interface ClientOptions {
  /** `http://host:port` of the API. */
  readonly url: string
  readonly key: string
  /** Makes idempotency keys, and is the tag of every job. */
  readonly tag: string
  readonly signal: AbortSignal
  /** Told after each job that was accepted. */
  readonly onAccepted: (job: PlannedJob) => void
}

/** What the client needs when it does not submit. */
export type Access = Pick<ClientOptions, 'url' | 'key' | 'tag'>

/**
 * Posts every job to the API, several at once. Posts under way are answered before it ends in any case: a connection
 * that is broken off would be opened anew by `fetch`, and the API's shutdown would wait for it.
 *
 * @throws Error with the API's own words when it refuses a job; the reason of the signal when it aborts.
 */
export async function submitAll(jobs: readonly PlannedJob[], options: ClientOptions): Promise<Submitted> {
  const startedAt = performance.now()
  const accepted = new Map<string, PlannedJob>()
  let repeated = 0
  let repeatedWrongly = 0
  const queue = jobs.entries()
  const postUntilEmpty = async () => {
    for (const [number, job] of queue) {
      const id = await submit(job, `${options.tag}-${number}`, options)
      accepted.set(id, job)
      options.onAccepted(job)
      if (number % repeatEvery !== 0) continue
      repeated += 1
      if ((await submit(job, `${options.tag}-${number}`, options)) !== id) repeatedWrongly += 1
    }
  }
  const posters = Array.from({ length: connections }, postUntilEmpty)
  await Promise.all(posters).catch(async (error: unknown) => {
    await Promise.allSettled(posters)
    throw error
  })
  return { accepted, repeated, repeatedWrongly, tookMs: performance.now() - startedAt }
}

/** Where the API sends what becomes of the jobs of a run. */
export interface Endpoint {
  readonly id: string
  readonly secret: string
}

/** Makes an endpoint for the ends of the jobs with the client's tag. @throws Error with the API's own words when it refuses. */
export async function createEndpoint(receiverUrl: string, { url, key, tag }: Access): Promise<Endpoint> {
  const answer = await fetch(`${url}/v1/endpoints`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ url: receiverUrl, tags: [tag] }),
  })
  if (answer.status !== 201) throw new Error(`The API did not make an endpoint: ${await explain(answer)}`)
  return (await answer.json()) as Endpoint
}

/** Deletes it, so that nothing is sent to a receiver that is gone; an API that is gone as well sends nothing either. */
export async function deleteEndpoint({ id }: Endpoint, { url, key }: Access): Promise<void> {
  await fetch(`${url}/v1/endpoints/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${key}` } }).catch(
    () => {},
  )
}

/** Reads the output of a completed job. */
export async function readOutput(id: string, { url, key }: ClientOptions): Promise<unknown> {
  const answer = await fetch(`${url}/v1/jobs/${id}`, { headers: { authorization: `Bearer ${key}` } })
  return ((await answer.json()) as { output?: unknown }).output
}

/** The key makes it safe to post again when the answer was lost. */
async function submit(
  { type, input, maxAttempts }: PlannedJob,
  idempotencyKey: string,
  options: ClientOptions,
): Promise<string> {
  const body = JSON.stringify({ type, input, maxAttempts, tags: [options.tag] })
  for (let tries = 1; ; tries += 1) {
    options.signal.throwIfAborted()
    const answer = await post(body, idempotencyKey, options).catch((error: unknown) => error)
    if (answer instanceof Response && answer.status === 202) return ((await answer.json()) as { id: string }).id
    const mayPass = !(answer instanceof Response) || answer.status === 429 || answer.status >= 500
    if (!mayPass || tries === maxTries) {
      throw new Error(`The API did not take a job of type ${type}: ${await explain(answer)}`)
    }
    await setTimeout(200 * tries, undefined, { signal: options.signal })
  }
}

async function post(body: string, idempotencyKey: string, { url, key }: ClientOptions): Promise<Response> {
  return fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'idempotency-key': idempotencyKey,
    },
    body,
  })
}

async function explain(answer: unknown): Promise<string> {
  if (answer instanceof Response) return `${answer.status} ${await answer.text()}`
  return answer instanceof Error
    ? `${answer.message}${answer.cause instanceof Error ? ` (${answer.cause.message})` : ''}`
    : String(answer)
}
