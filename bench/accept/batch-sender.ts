import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { answerParent } from '../child.ts'
import { intakes, jobName, type Place, type Rival } from './rivals.ts'

/** Work of a process that hands in jobs by the batch, several batches at a time. */
export interface BatchTask {
  readonly to: HttpTarget | LibraryTarget
  readonly jobsPerBatch: number
  /** Jobs handed in before the clock starts, and after; both whole batches. */
  readonly warmUpJobs: number
  readonly jobs: number
}

export interface HttpTarget {
  readonly way: 'array' | 'ndjson'
  /** `http://host:port` */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/** No service in between: the process that has the jobs calls the library itself. */
export interface LibraryTarget {
  readonly way: 'library'
  readonly rival: Rival
  readonly place: Place
}

/** Batches under way at once. */
const inFlight = 4

answerParent(async ({ to, jobsPerBatch, warmUpJobs, jobs }: BatchTask) => {
  const sendBatch = await openTarget(to, jobsPerBatch)
  const sendJobs = (count: number) => sendBatches(sendBatch, count / jobsPerBatch)
  await sendJobs(warmUpJobs)
  const startedAt = performance.now()
  await sendJobs(jobs)
  return (jobs * 1_000) / (performance.now() - startedAt)
})

async function sendBatches(sendBatch: () => Promise<unknown>, count: number): Promise<void> {
  let left = count
  const sendUntilDone = async () => {
    while (left-- > 0) await sendBatch()
  }
  await Promise.all(Array.from({ length: inFlight }, sendUntilDone))
}

async function openTarget(to: BatchTask['to'], jobsPerBatch: number): Promise<() => Promise<unknown>> {
  const inputs = Array.from({ length: jobsPerBatch }, (_, value) => ({ value }))
  const jobs = inputs.map((input) => ({ type: jobName, input }))
  switch (to.way) {
    case 'library': {
      const intake = await intakes[to.rival](to.place)
      return () => intake.addMany(inputs)
    }
    case 'array':
      return poster(to, 'application/json', JSON.stringify({ jobs }))
    case 'ndjson':
      return poster(to, 'application/x-ndjson', jobs.map((job) => `${JSON.stringify(job)}\n`).join(''))
  }
}

/** @returns a function that posts the body once more. @throws Error when it, or one of its jobs, is refused. */
function poster({ url, headers }: HttpTarget, type: string, body: string): () => Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight })
  const options = { agent, method: 'POST', headers: { ...headers, 'content-type': type } }
  return async () => {
    const posted = request(`${url}/v1/jobs/batch`, options).end(body)
    const [answer] = (await once(posted, 'response')) as [IncomingMessage]
    const told = await text(answer)
    if (answer.statusCode !== 202 || told.includes('"problem"')) {
      throw new Error(`A batch was refused: ${answer.statusCode} ${told.slice(0, 1_000)}`)
    }
  }
}
