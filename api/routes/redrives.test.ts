import { newId } from '@jobyard/db/ids'
import { openRecord, type TestRecord } from '@jobyard/testing/record'
import { listenOn, type ListeningApi } from '@jobyard/testing/listening-api'
import { adminKey } from '@jobyard/testing/platform'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'

let record: TestRecord
let api: ListeningApi
beforeEach(async () => {
  record = await openRecord()
  onTestFinished(() => record.close())
  api = await listenOn(record.db, record.url)
})

const authorization = `Bearer ${adminKey}`

async function call(method: 'GET' | 'POST', url: string, payload?: object, headers: Record<string, string> = {}) {
  const answer = await api.app.inject({
    method,
    url,
    headers: { authorization, ...headers },
    ...(payload && { payload }),
  })
  return { status: answer.statusCode, headers: answer.headers, body: answer.body && answer.json() }
}

const submit = (more: object, headers = {}) =>
  call('POST', '/v1/jobs', { type: 'echo', input: { value: 1 }, ...more }, headers)

async function failed(more: object = {}): Promise<string> {
  const { body } = await submit(more)
  await record.end(body.id, 'failed', 0)
  return body.id
}

const redrive = (body: object) => call('POST', '/v1/jobs/redrive', body)

describe('Redriving by a filter', () => {
  it('previews without doing anything', async () => {
    const ids = [await failed({ tags: ['a'] }), await failed({ tags: ['a'] }), await failed()]
    const { status, body } = await redrive({ filter: { tag: 'a' }, dryRun: true })
    expect(status).toBe(200)
    expect(body).toMatchObject({ matched: 2, redriven: [], sample: [{ id: ids[1] }, { id: ids[0] }] })
    expect(body.nextCursor).toBeUndefined()
    expect(await record.sql`select from jobs`).toHaveLength(3)
  })

  it('redrives each once, however often it is asked', async () => {
    const ids = [await failed({ tags: ['a'], metadata: { n: 1 } }), await failed({ metadata: { n: 1 } })]
    await failed({ metadata: { n: 2 } })
    const { status, body } = await redrive({ filter: { metadata: { n: 1 } } })
    expect(status).toBe(202)
    expect(body.redriven.map(({ id }: { id: string }) => id)).toEqual(ids.toReversed())
    const [{ id, as }] = body.redriven
    expect((await call('GET', `/v1/jobs/${id}`)).body).toMatchObject({ redrivenAs: as })
    expect((await call('GET', `/v1/jobs/${as}`)).body).toMatchObject({
      redriveOf: id,
      metadata: { n: 1 },
      status: 'queued',
    })
    expect((await redrive({ filter: { metadata: { n: 1 } } })).body).toEqual({ matched: 0, redriven: [], skipped: [] })
  })

  it('goes on where the call before ended', async () => {
    const ids = [await failed(), await failed(), await failed()]
    const first = await redrive({ filter: {}, limit: 2 })
    expect(first.body.redriven.map(({ id }: { id: string }) => id)).toEqual([ids[2], ids[1]])
    const second = await redrive({ filter: {}, limit: 2, cursor: first.body.nextCursor })
    expect(second.body.redriven.map(({ id }: { id: string }) => id)).toEqual([ids[0]])
    expect(second.body.nextCursor).toBeUndefined()
  })

  it('takes cancelled jobs where they are meant, and those of a time and a reason', async () => {
    const cancelled = (await submit({})).body.id
    await call('POST', `/v1/jobs/${cancelled}/cancel`)
    const timedOut = await failed()
    await record.sql`update jobs set error = '{"reason":"timed_out"}' where id = ${timedOut}`
    const other = await failed()
    const found = async (filter: object) =>
      (await redrive({ filter, dryRun: true })).body.sample.map(({ id }: { id: string }) => id)
    expect(await found({ status: 'cancelled' })).toEqual([cancelled])
    expect(await found({ reason: 'timed_out' })).toEqual([timedOut])
    expect(await found({ type: 'echo', queue: 'default' })).toEqual([other, timedOut])
    expect(await found({ finishedBefore: '2020-01-01T00:00:00Z' })).toEqual([])
    expect(await found({ finishedAfter: '2020-01-01T00:00:00Z' })).toEqual([other, timedOut])
  })

  it('leaves alone whose deduplication key another job has', async () => {
    const id = await failed({ deduplicationKey: 'k' })
    const unfinished = (await submit({ deduplicationKey: 'k' })).body.id
    expect((await redrive({ filter: {} })).body).toEqual({ matched: 1, redriven: [], skipped: [{ id, unfinished }] })
    await record.end(unfinished, 'completed', 0)
    expect((await redrive({ filter: {} })).body).toMatchObject({ redriven: [{ id }], skipped: [] })
  })

  it.each([
    [{}, 'filter'],
    [{ filter: { status: 'completed' } }, 'filter.status'],
    [{ filter: {}, limit: 1_001 }, 'limit'],
    [{ filter: { other: 1 } }, 'other'],
    [{ filter: { reason: 'a\0' } }, 'filter.reason'],
  ])('refuses what it does not understand: %j', async (body, named) => {
    const answer = await redrive(body)
    expect(answer.status).toBe(422)
    expect(JSON.stringify(answer.body.errors)).toContain(named)
  })

  it('names 100 errors at most', async () => {
    const metadata = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`f${n}`, null]))
    expect((await redrive({ filter: { metadata } })).body.errors).toHaveLength(100)
  })

  it('refuses a cursor that is none of ours', async () => {
    expect((await redrive({ filter: {}, cursor: 'x' })).status).toBe(400)
  })
})

describe('A deduplication key', () => {
  it('is answered with the unfinished job that has it', async () => {
    const first = await submit({ deduplicationKey: 'k', tags: ['first'] })
    expect(first.headers['jobyard-deduplicated']).toBeUndefined()
    expect(first.body.deduplicationKey).toBe('k')
    const second = await submit({ deduplicationKey: 'k', input: { value: 2 } })
    expect(second).toMatchObject({
      status: 202,
      headers: { 'jobyard-deduplicated': 'true', location: `/v1/jobs/${first.body.id}` },
      body: { id: first.body.id, input: { value: 1 }, tags: ['first'] },
    })
  })

  it('is answered in a batch and in a stream with the id of that job', async () => {
    const { body } = await submit({ deduplicationKey: 'k' })
    const job = { type: 'echo', input: { value: 1 }, deduplicationKey: 'k' }
    const batch = await call('POST', '/v1/jobs/batch', { jobs: [job, { ...job, deduplicationKey: 'l' }] })
    expect(batch.body.items).toMatchObject([{ index: 0, id: body.id }, { index: 1 }])
    const stream = await api.app.inject({
      method: 'POST',
      url: '/v1/jobs/batch',
      headers: { authorization, 'content-type': 'application/x-ndjson' },
      payload: `${JSON.stringify(job)}\n`,
    })
    expect(JSON.parse(stream.body)).toEqual({ index: 0, id: body.id })
  })

  it('with an Idempotency-Key names the same job in each replay, also when that is gone', async () => {
    const first = await submit({ deduplicationKey: 'k' })
    const again = () => submit({ deduplicationKey: 'k', input: { value: 2 } }, { 'idempotency-key': 'i' })
    expect((await again()).headers['idempotency-replayed']).toBeUndefined()
    await record.end(first.body.id, 'completed', 0)
    const replayed = { 'idempotency-replayed': 'true', 'jobyard-deduplicated': 'true' }
    expect(await again()).toMatchObject({ status: 202, headers: replayed, body: { id: first.body.id } })
    await record.sql`delete from jobs`
    expect(await again()).toMatchObject({ status: 202, headers: replayed, body: { id: first.body.id } })
  })

  it('keeps a redrive out while another job has it', async () => {
    const id = await failed({ deduplicationKey: 'k' })
    const unfinished = (await submit({ deduplicationKey: 'k' })).body.id
    const { status, body } = await call('POST', `/v1/jobs/${id}/redrive`)
    expect(status).toBe(409)
    expect(body.detail).toContain(unfinished)
  })

  it.each(['', 'x'.repeat(256), 'a\nb', '\ud800', '\u0000'])(
    'that is none is refused: %j',
    async (deduplicationKey) => {
      const { status, body } = await submit({ deduplicationKey })
      expect(status).toBe(422)
      expect(body.errors[0].path).toBe('deduplicationKey')
    },
  )

  it('may say anything that can be printed', async () => {
    expect(await submit({ deduplicationKey: 'ü 😀 "k"\\' })).toMatchObject({ status: 202 })
    expect((await submit({ deduplicationKey: 'ü 😀 "k"\\' })).headers).toMatchObject({ 'jobyard-deduplicated': 'true' })
  })
})

it('A redrive with an Idempotency-Key is done once', async () => {
  const [id, other] = [await failed(), await failed()]
  const again = (of = id) => call('POST', `/v1/jobs/${of}/redrive`, undefined, { 'idempotency-key': 'i' })
  const first = await again()
  expect(first.headers['idempotency-replayed']).toBeUndefined()
  expect(await again()).toMatchObject({ status: 202, headers: { 'idempotency-replayed': 'true' }, body: first.body })
  expect((await again(other)).body.type).toMatch(/idempotency-key-reused$/)
  expect(await record.sql`select from jobs`).toHaveLength(3)
})

it('A redrive that is repeated is answered as before while one of the jobs is there, and else says what became of them', async () => {
  const id = await failed()
  const again = () => call('POST', `/v1/jobs/${id}/redrive`, undefined, { 'idempotency-key': 'i' })
  const { body } = await again()
  await record.sql`delete from jobs where id = ${id}`
  const replayed = { status: 202, headers: { 'idempotency-replayed': 'true', location: `/v1/jobs/${body.id}` }, body }
  expect(await again()).toMatchObject(replayed)
  await record.sql`update jobs set id = ${id}, redrive_of = null`
  expect(await again()).toMatchObject(replayed)
  await record.sql`delete from jobs`
  const gone = await again()
  expect(gone.status).toBe(404)
  expect(gone.body.detail).toContain(body.id)
})

it('A replay that would wait for a job that was deleted is answered at once', async () => {
  const first = await submit({}, { 'idempotency-key': 'i' })
  await record.sql`delete from jobs`
  const begin = performance.now()
  const again = await submit({}, { 'idempotency-key': 'i', prefer: 'wait=30' })
  expect(performance.now() - begin).toBeLessThan(10_000)
  expect(again).toMatchObject({ status: 202, headers: { 'idempotency-replayed': 'true' }, body: first.body })
})

it('A job that has not changed is answered 304, and one that has is not', async () => {
  const { body } = await submit({})
  const read = (headers: Record<string, string> = {}) => call('GET', `/v1/jobs/${body.id}`, undefined, headers)
  const first = await read()
  const etag = String(first.headers.etag)
  expect(etag).toMatch(/^".+"$/)
  expect(await read({ 'if-none-match': etag })).toMatchObject({ status: 304, body: '' })
  for (const condition of ['*', ` "x" ,W/${etag}`, `"x, y", ${etag}`])
    expect(await read({ 'if-none-match': condition })).toMatchObject({ status: 304, headers: { etag }, body: '' })
  for (const condition of ['"x"', etag.slice(1, -1), '"*"', ''])
    expect(await read({ 'if-none-match': condition })).toMatchObject({ status: 200, body: first.body })
  await call('POST', `/v1/jobs/${body.id}/cancel`)
  expect(await read({ 'if-none-match': etag })).toMatchObject({ status: 200, body: { status: 'cancelled' } })
  expect((await submit({})).headers.etag).toBeUndefined()
})

it('An error is no answer that may have stayed the same', async () => {
  for (const condition of ['*', '"x"']) {
    const answer = await call('GET', `/v1/jobs/${newId()}`, undefined, { 'if-none-match': condition })
    expect(answer).toMatchObject({ status: 404, body: { status: 404 } })
    expect(answer.headers.etag).toBeUndefined()
  }
})
