import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { carrierKinds } from '../testing/platform.ts'
import { callApi, openProcessPlatform, type PlatformProcess, type ProcessPlatform } from '../testing/processes.ts'

let platform: ProcessPlatform
afterEach(() => platform.stop())

/** What the client was told: the only thing that counts. */
class Client {
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
async function expectEachEndedOnce(ids: readonly string[]): Promise<void> {
  const { sql } = platform.db
  const unfinished = async () => {
    const [row] = await sql<{ n: number }[]>`select count(*)::int as n from jobs where finished_at is null`
    return row!.n
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

describe.each(carrierKinds)('Under load (%s), every accepted job ends once', (kind) => {
  it('when workers and APIs are killed with −9', async () => {
    platform = await openProcessPlatform(kind)
    let api = await platform.start('api')
    const workers = [await platform.start('workers'), await platform.start('workers')]
    const client = new Client(() => api)
    client.start()
    for (let round = 0; round < 2; round++) {
      await client.accepts(100)
      await workers.shift()?.kill()
      workers.push(await platform.start('workers'))
      await client.accepts(100)
      await api.kill()
      api = await platform.start('api')
    }
    await client.accepts(50)
    await client.stop()
    await expectEachEndedOnce(client.accepted)
  }, 90_000)

  it('when workers are asked to stop, and hand back what they cannot finish', async () => {
    platform = await openProcessPlatform(kind)
    const api = await platform.start('api')
    const leaving = await platform.start('workers', { SHUTDOWN_GRACE_MS: '200' })
    const long = await callApi(api.url!, 'POST', '/v1/jobs', { type: 'echo', input: { value: 'long', sleepMs: 3_000 } })
    const short = await callApi(api.url!, 'POST', '/v1/jobs', { type: 'echo', input: { value: 'short', sleepMs: 50 } })
    await started(long.body.id)
    expect(await leaving.stop()).toBe(0)
    const [owned] = await platform.db.sql`select count(*)::int as n from jobs where worker_id is not null`
    expect(owned?.n).toBe(0)
    expect(await platform.db.sql`select from workers`).toHaveLength(0)
    await platform.start('workers')
    await expectEachEndedOnce([long.body.id, short.body.id])
    const { body } = await callApi(api.url!, 'GET', `/v1/jobs/${long.body.id}`)
    expect(body.attempts).toMatchObject([{ outcome: 'handed_back' }, { outcome: 'completed' }])
  }, 60_000)
})

it('Under load, every accepted job ends once when Redis is flushed', async () => {
  platform = await openProcessPlatform('redis')
  const api = await platform.start('api')
  await platform.start('workers')
  const redis = new Redis(platform.redis!.url)
  const client = new Client(() => api)
  client.start()
  for (let round = 0; round < 5; round++) {
    await client.accepts(100)
    await redis.flushall()
  }
  await client.stop()
  await redis.flushall()
  redis.disconnect()
  await expectEachEndedOnce(client.accepted)
}, 90_000)

async function started(id: string): Promise<void> {
  for (;;) {
    const [row] = await platform.db.sql`select status from jobs where id = ${id}`
    if (row?.status === 'running') return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
