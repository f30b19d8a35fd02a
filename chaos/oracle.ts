import type { Database } from '@jobyard/db/connect'
import { expect } from 'vitest'
import { callApi, type PlatformProcess } from '../testing/processes.ts'

/** What the client was told: the only thing that counts. */
export class Client {
  readonly accepted: string[] = []
  #stopped = false
  #loop: Promise<void> | undefined
  readonly #api: () => PlatformProcess

  constructor(api: () => PlatformProcess) {
    this.#api = api
  }

  /** Submits until it is stopped, several requests at a time. */
  start(): void {
    this.#loop = Promise.all(Array.from({ length: 8 }, (_, n) => this.#submit(n))).then(() => {})
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loop
  }

  async #submit(n: number): Promise<void> {
    for (let value = 0; !this.#stopped; value++) {
      const job = { type: 'echo', input: { value: `${n} ${value}`, sleepMs: value % 7 === 0 ? 50 : 0 } }
      const answer = await callApi(this.#api().url ?? '', 'POST', '/v1/jobs', job).catch(() => undefined)
      if (answer?.status === 202) this.accepted.push(answer.body.id)
      else await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async accepts(count: number): Promise<void> {
    const target = this.accepted.length + count
    while (this.accepted.length < target) await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Waits until every accepted job has ended, then compares what was promised with what stands in the record. */
export async function expectEachEndedOnce({ sql }: Database, ids: readonly string[]): Promise<void> {
  const unfinished = async () => {
    const [row] = await sql<{ n: number }[]>`select count(*)::int as n from jobs where finished_at is null`
    return row?.n ?? 0
  }
  while ((await unfinished()) > 0) await new Promise((resolve) => setTimeout(resolve, 100))
  const [jobs] = await sql`
    select count(*)::int as stored, count(*) filter (where status = 'completed')::int as completed,
      count(*) filter (where output->>'value' = input->>'value')::int as right_outputs,
      count(*) filter (where attempts_made = 1)::int as single_attempts
    from jobs where id = any(${[...ids]}::uuid[])`
  const all = ids.length
  expect(jobs).toEqual({ stored: all, completed: all, rightOutputs: all, singleAttempts: all })
  const [events] = await sql`
    select count(*)::int as terminal, count(o.id)::int as with_event, (select count(*)::int from outbox) as events
    from jobs j left join outbox o on o.job_id = j.id and o.type = 'job.' || j.status`
  expect(events?.withEvent).toBe(events?.terminal)
  expect(events?.events).toBe(events?.terminal)
}
