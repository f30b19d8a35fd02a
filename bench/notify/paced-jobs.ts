import { headers } from '../accept/contestants.ts'

/** Jobs that are posted at a steady rate until they are no more. */
export interface PacedJobs {
  /** Stops, and waits for the answers. @returns how many jobs were accepted. @throws Error when one was not. */
  stop(): Promise<number>
}

/** Posts `echo` jobs one by one, each at its moment. @param api `http://host:port` */
export function paceJobs(api: string, perSecond: number): PacedJobs {
  const startedAt = performance.now()
  const posted: Promise<void>[] = []
  const postDue = () => {
    const due = ((performance.now() - startedAt) * perSecond) / 1_000
    while (posted.length < due) posted.push(postJobs(api, 1))
  }
  const timer = setInterval(postDue, 1_000 / perSecond)
  return {
    stop: async () => {
      clearInterval(timer)
      await Promise.all(posted)
      return posted.length
    },
  }
}

/** Posts `echo` jobs in one request. @throws Error when they are not accepted. */
export async function postJobs(api: string, count: number): Promise<void> {
  const jobs = Array.from({ length: count }, (_, value) => ({ type: 'echo', input: { value } }))
  const answer = await fetch(`${api}/v1/jobs/batch`, { method: 'POST', headers, body: JSON.stringify({ jobs }) })
  const text = await answer.text()
  if (answer.status !== 202 || text.includes('"problem"')) throw new Error(`Jobs were refused: ${text.slice(0, 500)}`)
}
