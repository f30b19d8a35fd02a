import { connect as connectSocket } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openEventStream } from '../../testing/event-stream.ts'
import { head, listen, listenOn, type ListeningApi } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'
import { openRecord } from '../../testing/record.ts'
import { startTestRedis } from '../../testing/redis.ts'
import { RateLimiter } from './rate-limiter.ts'
import { RateLimits } from './rate-limits.ts'

const perHour = (burst: number) => ({ perMs: burst / 3_600_000, burst })
const job = { type: 'echo', input: { value: 1 } }
const patient = { timeout: 15_000 }

async function call({ port }: Pick<ListeningApi, 'port'>, path: string, body?: unknown, type = 'application/json') {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${adminKey}`, ...(body !== undefined && { 'content-type': type }) },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, headers: Object.fromEntries(answer.headers), text, began: performance.now() }
}

const submit = (api: Pick<ListeningApi, 'port'>) => call(api, '/v1/jobs', job)

async function countJobs({ sql }: ListeningApi): Promise<number> {
  const [row] = await sql<{ count: number }[]>`select count(*)::int as count from jobs`
  return row?.count ?? 0
}

describe('A rate limit', () => {
  it('answers 429 to what is over it, with when to come back, and tells on every answer how it stands', async () => {
    const api = await listen({ rateLimits: { key: perHour(3) } })
    const answers = [await submit(api), await call(api, '/v1/queues'), await submit(api)]
    expect(answers.map(({ status }) => status)).toEqual([202, 200, 202])
    expect(answers.map(({ headers }) => headers.ratelimit)).toEqual([
      '"key";r=2;t=1200',
      '"key";r=1;t=2400',
      '"key";r=0;t=3600',
    ])
    const { status, headers, text } = await submit(api)
    expect(status).toBe(429)
    expect(headers).toMatchObject({
      'content-type': expect.stringMatching(/^application\/problem\+json/),
      'retry-after': '1200',
      'ratelimit-policy': '"key";q=3;w=3600',
      ratelimit: '"key";r=0;t=3600',
    })
    expect(JSON.parse(text)).toMatchObject({
      type: expect.stringMatching(/\/rate-limited$/),
      status: 429,
      detail: expect.stringMatching(/Repeat it in 1200 s/),
    })
    expect(await countJobs(api)).toBe(2)
  })

  it('does not hold for public routes, which tell nothing of it', async () => {
    const api = await listen({ rateLimits: { tenant: perHour(1) } })
    await submit(api)
    for (const path of ['/livez', '/readyz', '/openapi.json', '/docs', '/docs/json']) {
      const { status, headers } = await call(api, path)
      expect([path, status]).toEqual([path, 200])
      expect(headers).not.toHaveProperty('ratelimit')
    }
    expect(await submit(api)).toMatchObject({ status: 429 })
  })

  it('is not asked where the caller is a stranger, or there is none', async () => {
    const api = await listen({ rateLimits: { key: perHour(1) } })
    const stranger = await fetch(`http://127.0.0.1:${api.port}/v1/queues`, { headers: { authorization: 'Bearer no' } })
    expect([stranger.status, stranger.headers.get('ratelimit')]).toEqual([401, null])
    expect(await submit(api)).toMatchObject({ status: 202 })
    expect((await submit(await listen())).headers).not.toHaveProperty('ratelimit-policy')
  })

  it('takes from the tenant and the key, or from none of them', async () => {
    const api = await listen({ rateLimits: { tenant: perHour(5), key: perHour(2) } })
    for (let count = 0; count < 4; count++) await submit(api)
    const { status, headers } = await submit(api)
    expect(status).toBe(429)
    expect(headers).toMatchObject({
      'ratelimit-policy': '"tenant";q=5;w=3600, "key";q=2;w=3600',
      ratelimit: '"tenant";r=3;t=1440, "key";r=0;t=3600',
    })
  })

  it('counts the items of an array, and refuses the whole of one that is too much', async () => {
    const api = await listen({ rateLimits: { key: perHour(10) } })
    const array = (length: number) => call(api, '/v1/jobs/batch', { jobs: Array.from({ length }, () => job) })
    const larger = await array(11)
    expect(larger).toMatchObject({
      status: 429,
      text: expect.stringMatching(/11 jobs in one array are more than this key may/),
    })
    const accepted = await array(6)
    expect(accepted).toMatchObject({ status: 202, headers: { ratelimit: expect.stringMatching(/^"key";r=3;/) } })
    expect(await array(4)).toMatchObject({ status: 429, headers: { 'retry-after': '720' } })
    expect(await countJobs(api)).toBe(6)
  })

  it('slows a stream of lines down, which costs a line for a request', async () => {
    const api = await listen({ rateLimits: { key: { perMs: 0.04, burst: 4 } } })
    const began = performance.now()
    const lines = `${JSON.stringify(job)}\n`.repeat(24)
    const { status, text } = await call(api, '/v1/jobs/batch', lines, 'application/x-ndjson')
    const ms = performance.now() - began
    expect(status).toBe(202)
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => Object.keys(JSON.parse(line))),
    ).toEqual(Array(24).fill(['index', 'id']))
    expect(ms).toBeGreaterThan((24 - 4) / 0.04 - 5)
  })

  it('lets a stream without lines cost as much as a request', async () => {
    const api = await listen({ rateLimits: { key: perHour(2) } })
    expect(await call(api, '/v1/jobs/batch', '\n', 'application/x-ndjson')).toMatchObject({ status: 422 })
    expect(await submit(api)).toMatchObject({ status: 202 })
    expect(await submit(api)).toMatchObject({ status: 429 })
  })

  it('refuses a stream that waits too long for its first token', async () => {
    const api = await listen({ rateLimits: { key: perHour(1) }, streamLimits: { idleMs: 100 } })
    await submit(api)
    const answer = await call(api, '/v1/jobs/batch', `${JSON.stringify(job)}\n`, 'application/x-ndjson')
    expect(answer).toMatchObject({
      status: 429,
      headers: { 'retry-after': '3600', 'content-type': expect.stringMatching(/problem\+json/) },
      text: expect.stringMatching(/\/rate-limited"/),
    })
  })

  it('ends a stream that waits too long for a token, and says from where to go on', async () => {
    const api = await listen({ rateLimits: { key: perHour(2) }, streamLimits: { idleMs: 100 } })
    const lines = `${JSON.stringify(job)}\n`.repeat(4)
    const { status, text } = await call(api, '/v1/jobs/batch', lines, 'application/x-ndjson')
    expect(status).toBe(202)
    const answers = text.trim().split('\n')
    expect(answers.length).toBe(3)
    expect(JSON.parse(answers[2]!)).toMatchObject({
      index: 2,
      problem: {
        type: expect.stringMatching(/\/rate-limited$/),
        detail: expect.stringMatching(/from this index on/),
      },
    })
  })

  it('still tells a stream that sends nothing so', async () => {
    const api = await listen({ rateLimits: { key: perHour(2) }, streamLimits: { idleMs: 100 } })
    const silent = connectSocket(api.port, '127.0.0.1')
    onTestFinished(() => void silent.destroy())
    silent.write(`${head('/v1/jobs/batch', 'application/x-ndjson')}transfer-encoding: chunked\r\n\r\n`)
    expect(await textOf(silent)).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('is its own for those of different tenants that are named alike', async () => {
    const limits = new RateLimits({ key: perHour(1), log: pino({ level: 'silent' }) })
    onTestFinished(() => limits.close())
    const take = (tenant: string) => limits.tryCharging({ tenant, keyId: 'jwt:somebody' }, 1)
    const spent = '"key";r=0;t=3600'
    expect([take('a'), take('b'), take('a')]).toEqual([spent, spent, undefined])
  })

  it('ends a stream that waits for it when the process drains', async () => {
    const api = await listen({ rateLimits: { key: perHour(2) } })
    const lines = `${JSON.stringify(job)}\n`.repeat(3)
    const answer = call(api, '/v1/jobs/batch', lines, 'application/x-ndjson')
    await expect.poll(() => countJobs(api), patient).toBe(2)
    void api.app.close()
    const answers = (await answer).text.trim().split('\n')
    expect(answers.length).toBe(3)
    expect(JSON.parse(answers[2]!)).toMatchObject({
      index: 2,
      problem: { type: expect.stringMatching(/\/unavailable$/) },
    })
  })

  it('counts a stream of events as one request', async () => {
    const api = await listen({ rateLimits: { key: perHour(1) } })
    const stream = await openEventStream(api.port, '/v1/events')
    onTestFinished(() => stream.close())
    expect(stream.status).toBe(200)
    const refused = await openEventStream(api.port, '/v1/events')
    expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '3600' } })
  })
})

describe('The limit of several APIs on Redis', () => {
  it('is one: in five seconds they let through what one would', async () => {
    const { apis } = await openApis(3, { perMs: 0.2, burst: 100 })
    await expect.poll(() => isShared(apis), patient).toBe(true)
    await delay(1_100) // the bucket is full again, and no lease is left
    let accepted = 0
    const began = performance.now()
    const greedy = async (api: ListeningApi) => {
      while (performance.now() - began < 5_000) {
        if ((await call(api, '/v1/job-types')).status === 200) accepted++
        else await delay(5)
      }
    }
    await Promise.all([...apis, ...apis].map(greedy))
    const ms = performance.now() - began
    expect(accepted).toBeLessThanOrEqual((100 + ms * 0.2) * 1.05)
    expect(accepted).toBeGreaterThan((100 + 5_000 * 0.2) * 0.95)
  })

  it('is each API’s own while Redis hangs, which delays nobody, and one again when it is back', async () => {
    const { apis, redis } = await openApis(2, perHour(6))
    await expect.poll(() => isShared(apis), patient).toBe(true)
    redis.kill('SIGSTOP')
    const times: number[] = []
    const statuses = async (api: ListeningApi, count: number) => {
      const found: number[] = []
      for (let each = 0; each < count; each++) {
        const began = performance.now()
        found.push((await call(api, '/v1/job-types')).status)
        times.push(performance.now() - began)
      }
      return found
    }
    const [, second] = apis as [ListeningApi, ListeningApi]
    const found = await statuses(second, 8)
    expect(found.filter((status) => status === 200).length).toBeGreaterThan(3)
    expect(found.slice(-2)).toEqual([429, 429])
    expect(Math.max(...times)).toBeLessThan(250)
    redis.kill('SIGCONT')
    await expect.poll(() => isShared(apis), patient).toBe(true)
  })

  /** APIs on one record and one Redis. */
  async function openApis(count: number, key: { perMs: number; burst: number }) {
    const record = await openRecord()
    const redis = await startTestRedis()
    onTestFinished(async () => {
      redis.kill('SIGCONT')
      await redis.stop()
      await record.close()
    })
    const options = { redisUrl: redis.url, rateLimits: { key } }
    const apis = await Promise.all(Array.from({ length: count }, () => listenOn(record.db, record.url, options)))
    return { apis, redis }
  }

  /** Whether what one API takes is missing at the others. */
  async function isShared(apis: readonly ListeningApi[]): Promise<boolean> {
    const left: number[] = []
    for (const api of apis) {
      const { headers } = await call(api, '/v1/job-types')
      left.push(Number(/r=(\d+)/.exec(headers.ratelimit ?? '')?.[1]))
    }
    return left.every((each, index) => index === 0 || each < left[index - 1]!)
  }
})

it('forgets who is full again', async () => {
  const limiter = new RateLimiter('key', { perMs: 1, burst: 100 })
  onTestFinished(() => limiter.close())
  for (let id = 0; id < 1_000; id++) limiter.of(String(id)).bucket.take(100)
  expect(limiter.size).toBe(1_000)
  limiter.of('large').bucket.take(100)
  await expect.poll(() => limiter.size, patient).toBe(0)
})
