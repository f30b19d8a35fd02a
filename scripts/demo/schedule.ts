import { setTimeout } from 'node:timers/promises'
import type { Access } from './client.ts'

/** Time between two occurrences of the demo's schedule, in milliseconds. */
export const everyMs = 1_000

/** What became of one occurrence of the schedule. */
export interface ScheduledRun {
  readonly at: Date
  readonly outcome: string
  readonly jobId: string | undefined
  readonly status: string | undefined
}

/** A schedule that fires while the demo runs. */
export interface DemoSchedule {
  /** Stops it, and waits for its jobs. @returns what became of its occurrences, in order. */
  stop(): Promise<ScheduledRun[]>
  /** Deletes it. */
  remove(): Promise<void>
}

/** How often one looks whether its jobs have ended, and how long they have for it, in milliseconds. */
const pollMs = 100
const patienceMs = 20_000

/** Makes a schedule of every second. @throws Error with the API's own words when it refuses. */
export async function startSchedule(access: Access): Promise<DemoSchedule> {
  const path = `/v1/schedules/${access.tag}`
  await call(access, 'PUT', path, { type: 'echo', input: { value: 'tick' }, everyMs })
  return {
    stop: async () => {
      await call(access, 'POST', `${path}/pause`)
      const deadline = performance.now() + patienceMs
      for (;;) {
        const runs = await readRuns(access, path)
        if (runs.every(({ status }) => status === 'completed') || performance.now() > deadline) return runs
        await setTimeout(pollMs)
      }
    },
    remove: async () => void (await call(access, 'DELETE', path).catch(() => {})),
  }
}

async function readRuns(access: Access, path: string): Promise<ScheduledRun[]> {
  const { items } = (await call(access, 'GET', `${path}/occurrences?limit=200`)) as {
    items: { at: string; outcome: string; job?: { jobId: string; status?: string } }[]
  }
  return items
    .toReversed()
    .map(({ at, outcome, job }) => ({ at: new Date(at), outcome, jobId: job?.jobId, status: job?.status }))
}

async function call({ url, key }: Access, method: string, path: string, body?: object): Promise<unknown> {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`The API did not take ${method} ${path}: ${answer.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}
