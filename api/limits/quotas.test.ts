import { connect } from '@jobyard/db/connect'
import { pino } from 'pino'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { listen, listenOn, type ListeningApi, type ListeningApiOptions } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'
import { openRecord } from '../../testing/record.ts'
import { Quotas } from './quotas.ts'

type Api = Pick<ListeningApi, 'port'>
const job = { type: 'echo', input: { value: 1 } }
const patient = { timeout: 15_000 }
/** A count as soon as one may be. */
const countEveryMs = 1

async function post({ port }: Api, path: string, body: unknown, headers: Record<string, string> = {}) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() }
}

const submit = (api: Api, more: object = {}, headers = {}) => post(api, '/v1/jobs', { ...job, ...more }, headers)

async function submitMany(api: Api, count: number): Promise<number[]> {
  const statuses: number[] = []
  for (let each = 0; each < count; each++) statuses.push((await submit(api)).status)
  return statuses
}

/** Several APIs on one record. */
async function openApis(count: number, options: ListeningApiOptions) {
  const record = await openRecord()
  onTestFinished(() => record.close())
  const open = () => listenOn(record.db, record.url, options)
  return { record, open, apis: await Promise.all(Array.from({ length: count }, open)) }
}

describe('The quota of waiting jobs', () => {
  it('refuses what is over it, saying what waits, what the limit is and what to do', async () => {
    const api = await listen({ quotas: { maxWaitingJobs: 3 } })
    expect(await submitMany(api, 4)).toEqual([202, 202, 202, 429])
    const { status, headers, text } = await submit(api)
    expect(status).toBe(429)
    expect(headers).toMatchObject({ 'content-type': expect.stringMatching(/problem\+json/), 'retry-after': '1' })
    expect(JSON.parse(text)).toMatchObject({
      type: expect.stringMatching(/\/quota-exceeded$/),
      status: 429,
      detail: expect.stringMatching(/^3 jobs of this tenant wait, and the limit is 3\. .*add workers/),
    })
    expect((await api.sql`select from jobs`).length).toBe(3)
  })

  it('gives each item of an array, and each line of a stream, its own problem', async () => {
    const api = await listen({ quotas: { maxWaitingJobs: 3 } })
    const array = await post(api, '/v1/jobs/batch', { jobs: [job, job] })
    expect(JSON.parse(array.text).items.map(Object.keys)).toEqual([
      ['index', 'id'],
      ['index', 'id'],
    ])
    const lines = `${JSON.stringify(job)}\n`.repeat(3)
    const { status, text } = await post(api, '/v1/jobs/batch', lines, { 'content-type': 'application/x-ndjson' })
    expect(status).toBe(202)
    const exceeded = { type: expect.stringMatching(/\/quota-exceeded$/) }
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { index: 0, id: expect.any(String) },
      { index: 1, problem: expect.objectContaining(exceeded) },
      { index: 2, problem: expect.objectContaining(exceeded) },
    ])
  })

  it('knows at the first request what waited before, and hears of it when jobs have run', async () => {
    const { record, open, apis } = await openApis(1, { quotas: { maxWaitingJobs: 2, countEveryMs } })
    const ids = [await record.addJob(), await record.addJob({ delayMs: 60_000 })]
    expect(await submitMany(apis[0]!, 1)).toEqual([429])
    expect(await submitMany(await open(), 1)).toEqual([429])
    await record.end(ids[0]!, 'completed', 0)
    await expect.poll(async () => (await submit(apis[0]!)).status, patient).toBe(202)
    await expect.poll(() => submitMany(apis[0]!, 1), patient).toEqual([429])
  })

  it('does not count replays, and counts redrives, which are not refused', async () => {
    const { record, apis } = await openApis(1, { quotas: { maxWaitingJobs: 2, countEveryMs } })
    const [api] = apis as [ListeningApi]
    const failed = await record.addJob()
    await record.end(failed, 'failed', 0)
    const key = { 'idempotency-key': 'once' }
    for (let count = 0; count < 4; count++) expect(await submit(api, {}, key)).toMatchObject({ status: 202 })
    const redrive = async () => {
      const { port } = api
      const headers = { authorization: `Bearer ${adminKey}` }
      return (await fetch(`http://127.0.0.1:${port}/v1/jobs/${failed}/redrive`, { method: 'POST', headers })).status
    }
    expect([await redrive(), await redrive()]).toEqual([202, 202])
    await expect.poll(async () => (await submit(api)).status, patient).toBe(429)
  })

  it('is exceeded by several APIs at once by what each of them lets through before it counts, and no further', async () => {
    const { record, apis } = await openApis(3, { quotas: { maxWaitingJobs: 40, countEveryMs } })
    const flood = async (api: ListeningApi) => {
      for (let round = 0; round < 8; round++) await Promise.all(Array.from({ length: 20 }, () => submit(api)))
    }
    await Promise.all(apis.map(flood))
    const [waiting] = await record.sql<{ count: number }[]>`select count(*)::int as count from jobs`
    expect(waiting?.count).toBeGreaterThanOrEqual(40)
    expect(waiting?.count).toBeLessThanOrEqual(3 * 40)
    for (const api of apis) await expect.poll(() => submitMany(api, 2), patient).toEqual([429, 429])
  })

  it('lets a tenant submit its quota every few seconds while nothing can be counted, whatever was counted last', async () => {
    const record = await openRecord()
    onTestFinished(() => record.close())
    await record.addJob()
    const own = connect(record.url, { applicationName: 'test' })
    const quotas = new Quotas({ sql: own.sql, log: pino({ level: 'silent' }), maxWaitingJobs: 1, countEveryMs })
    onTestFinished(() => quotas.close())
    const one = { jobs: 1, bytes: 10 }
    const use = await quotas.useOf('default')
    expect(() => quotas.check(use, one)).toThrow(/^1 jobs of this tenant wait/)
    await own.close()
    await expect.poll(() => use.total, patient).toEqual({ jobs: 0, bytes: 0 })
    let laterMs = 0
    const now = performance.now.bind(performance)
    vi.spyOn(performance, 'now').mockImplementation(() => now() + laterMs)
    onTestFinished(() => void vi.restoreAllMocks())
    for (let times = 0; times < 3; times++) {
      expect(await quotas.useOf('default')).toBe(use)
      quotas.check(use, one)
      use.handIn(one)
      use.answer(one, true)
      expect(() => quotas.check(use, one)).toThrow(/^1 jobs of this tenant wait/)
      laterMs += 5_001
    }
  })

  it('goes by what it knows while the record cannot be counted', async () => {
    const away = connect('postgres://localhost:1/away', { applicationName: 'test' })
    const quotas = new Quotas({ sql: away.sql, log: pino({ level: 'silent' }), maxWaitingJobs: 1 })
    onTestFinished(async () => {
      quotas.close()
      await away.close()
    })
    const use = await quotas.useOf('a')
    const one = { jobs: 1, bytes: 10 }
    quotas.check(use, one)
    use.handIn(one)
    use.answer(one, true)
    expect(await quotas.useOf('a')).toBe(use)
    expect(() => quotas.check(use, one)).toThrow(/^1 jobs of this tenant wait/)
  })
})

describe('The quota of waiting bytes', () => {
  it('counts input and metadata in bytes', async () => {
    const api = await listen({ quotas: { maxWaitingBytes: 1_000 } })
    const large = { input: { value: 'ä'.repeat(300) } }
    expect(await submit(api, large)).toMatchObject({ status: 202 })
    const { status, text } = await submit(api, large)
    expect(status).toBe(429)
    expect(JSON.parse(text).detail).toMatch(
      /^Jobs of 614 bytes of this tenant wait, and the limit is 1000 bytes; this job has 614\./,
    )
    expect(await submit(api)).toMatchObject({ status: 202 })
  })

  it('counts what waited before as it is stored', async () => {
    const { record, apis } = await openApis(1, { quotas: { maxWaitingBytes: 1_000 } })
    await record.addJob({ input: JSON.stringify('x'.repeat(990)) })
    expect(await submit(apis[0]!)).toMatchObject({ status: 429 })
  })
})
