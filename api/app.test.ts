import { newId } from '@jobyard/db/ids'
import { unplacedChannel } from '@jobyard/db/sequence'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startPlatform, type Platform } from '../testing/platform.ts'
import { script, scriptedHandler, steps } from '../testing/scripted-handler.ts'
import { echo } from '@jobyard/workers/handlers/echo'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform('postgres', { handlers: [echo, scriptedHandler] })
})
afterAll(() => platform.stop())
const call: Platform['call'] = (...args) => platform.call(...args)
const post = (body: unknown, headers?: Record<string, string>) => call('POST', '/v1/jobs', body, headers)
const hello = { type: 'echo', input: { value: 'hello' } }

/** The answer must be a problem of this kind, and say how to mend it. */
function expectProblem(
  { status, headers, body }: Awaited<ReturnType<typeof call>>,
  code: number,
  kind: string,
  sentence: RegExp,
): void {
  expect(status).toBe(code)
  expect(headers['content-type']).toMatch(/^application\/problem\+json/)
  expect(body).toMatchObject({
    type: expect.stringMatching(new RegExp(`/${kind}$`)),
    status: code,
    title: expect.any(String),
  })
  expect(body.detail).toMatch(sentence)
  expect(JSON.stringify(body)).not.toMatch(/select |insert |at .*\.ts:/)
}

describe('Submitting', () => {
  it('answers with the whole job', async () => {
    const { body } = await post({
      ...hello,
      priority: 3,
      tags: ['a'],
      metadata: { order: 1 },
      maxAttempts: 2,
      timeoutMs: 5_000,
      delayMs: 60_000,
    })
    expect(body).toEqual({
      id: expect.any(String),
      type: 'echo',
      queue: 'default',
      status: 'scheduled',
      input: { value: 'hello' },
      attempts: [],
      attemptsMade: 0,
      maxAttempts: 2,
      timeoutMs: 5_000,
      priority: 3,
      runAt: expect.any(String),
      createdAt: expect.any(String),
      tags: ['a'],
      metadata: { order: 1 },
    })
    expect((await call('GET', `/v1/jobs/${body.id}`)).body).toEqual(body)
  })

  it('keeps strings that Postgres may refuse', async () => {
    const value = '\0 \ud800 "\\'
    const { body } = await post({ type: 'echo', input: { value }, metadata: { [value]: value } }, { prefer: 'wait=20' })
    expect(body).toMatchObject({ input: { value }, output: { value }, metadata: { [value]: value } })
  })

  it.each<[string, unknown, RegExp, string]>([
    ['an unknown type', { type: 'ecko', input: {} }, /Known types: .*echo/, 'type'],
    ['an input that breaks its contract', { type: 'echo', input: {} }, /input.value: is missing/, 'input.value'],
    ['no input', { type: 'echo' }, /input/, 'input'],
    ['an unknown field', { ...hello, prioritty: 1 }, /prioritty/, ''],
    ['no type', { input: {} }, /type: is missing/, 'type'],
    ['a priority of 1.5', { ...hello, priority: 1.5 }, /priority/, 'priority'],
    ['a priority as text', { ...hello, priority: '5' }, /priority/, 'priority'],
    ['a priority of null', { ...hello, priority: null }, /priority/, 'priority'],
    ['a delay below zero', { ...hello, delayMs: -1 }, /delayMs/, 'delayMs'],
    ['a delay of 30,000 years', { ...hello, delayMs: 1e15 }, /delayMs/, 'delayMs'],
    ['no attempts', { ...hello, maxAttempts: 0 }, /maxAttempts/, 'maxAttempts'],
    ['a billion attempts', { ...hello, maxAttempts: 1e9 }, /maxAttempts/, 'maxAttempts'],
    ['a negative time-out', { ...hello, timeoutMs: -1 }, /timeoutMs/, 'timeoutMs'],
    [
      'runAt with delayMs',
      { ...hello, delayMs: 1, runAt: '2030-01-01T00:00:00Z' },
      /delayMs: cannot be combined with runAt/,
      'delayMs',
    ],
    ['a year out of range', { ...hello, runAt: '+275761-01-01T00:00:00Z' }, /runAt/, 'runAt'],
    ['21 tags', { ...hello, tags: Array.from({ length: 21 }, String) }, /tags/, 'tags'],
    ['a long tag', { ...hello, tags: ['x'.repeat(65)] }, /tags.0/, 'tags.0'],
    ['an array', [hello], /body/, ''],
  ])('refuses %s, and leaves nothing behind', async (_what, body, sentence, path) => {
    const count = async () => (await platform.db.sql`select count(*)::int as n from jobs`)[0]?.n
    const before = await count()
    const answer = await post(body)
    expectProblem(answer, 422, 'validation-failed|unknown-job-type', sentence)
    expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(path)
    expect(await count()).toBe(before)
  })

  it('refuses a tag that Postgres cannot store, and accepts its neighbours', async () => {
    const jobs = [hello, { ...hello, tags: ['nul\0'] }, hello]
    const { status, body } = await call('POST', '/v1/jobs/batch', { jobs })
    expect(status).toBe(202)
    expect(body.items).toMatchObject([
      { index: 0, id: expect.any(String) },
      { index: 1, problem: { status: 422 } },
      { index: 2, id: expect.any(String) },
    ])
  })

  it('accepts each item of a batch on its own', async () => {
    const { status, body } = await call('POST', '/v1/jobs/batch', {
      jobs: [
        hello,
        { type: 'no' },
        5,
        { ...hello, idempotencyKey: 'batch-1' },
        { ...hello, idempotencyKey: 'batch-1' },
      ],
    })
    expect(status).toBe(202)
    expect(body.items.map((item: { index: number }) => item.index)).toEqual([0, 1, 2, 3, 4])
    expect(body.items[1].problem.type).toMatch(/unknown-job-type$|validation-failed$/)
    expect(body.items[2].problem.status).toBe(422)
    expect(body.items[3].id).toBe(body.items[4].id)
  })

  it.each([[{ jobs: [] }], [{ jobs: Array.from({ length: 1_001 }, () => hello) }], [{}]])(
    'refuses a batch of the wrong size',
    async (body) => {
      expect((await call('POST', '/v1/jobs/batch', body)).status).toBe(422)
    },
  )

  it('refuses bodies that are not JSON, each with its own problem', async () => {
    const raw = (payload: string, type: string) => call('POST', '/v1/jobs', payload, { 'content-type': type })
    expectProblem(await raw('{', 'application/json'), 400, 'invalid-json', /valid JSON/)
    expectProblem(await raw('', 'application/json'), 400, 'invalid-json', /JSON/)
    expectProblem(await raw('{}', 'text/plain'), 415, 'unsupported-media-type', /application\/json/)
    expectProblem(
      await raw(JSON.stringify({ ...hello, metadata: { x: 'x'.repeat(1_100_000) } }), 'application/json'),
      413,
      'too-large',
      /larger/,
    )
    expectProblem(
      await raw('{"type":"echo","input":{"value":1e400}}', 'application/json'),
      422,
      'validation-failed',
      /1e400/,
    )
  })
})

describe('An idempotency key', () => {
  it('gets the first answer again, and makes one job', async () => {
    const first = await post(hello, { 'idempotency-key': 'a' })
    const second = await post(hello, { 'idempotency-key': 'a' })
    expect(second).toMatchObject({ status: 202, body: first.body })
    expect(second.headers['idempotency-replayed']).toBe('true')
    expect(first.headers['idempotency-replayed']).toBeUndefined()
  })

  it('makes one job of 200 requests at once', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => post(hello, { 'idempotency-key': 'at once' })))
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1)
  })

  it('is refused with another body', async () => {
    await post(hello, { 'idempotency-key': 'b' })
    expectProblem(
      await post({ ...hello, priority: 1 }, { 'idempotency-key': 'b' }),
      422,
      'idempotency-key-reused',
      /new key/,
    )
  })

  it('that expires while it is looked up is refused for now, alone', async () => {
    const { sql } = platform.db
    await sql.unsafe(`
      create function prune() returns trigger language plpgsql as $$ begin return null; end $$;
      create trigger prune before insert on idempotency_keys for each row when (new.key = 'pruned') execute function prune()`)
    const single = await post(hello, { 'idempotency-key': 'pruned' })
    const batch = await platform.call('POST', '/v1/jobs/batch', {
      jobs: [hello, { ...hello, idempotencyKey: 'pruned' }],
    })
    await sql.unsafe('drop function prune cascade')
    expectProblem(single, 503, 'unavailable', /again/)
    expect(batch.body.items).toMatchObject([{ id: expect.any(String) }, { problem: { status: 503 } }])
  })

  it.each(['', 'x'.repeat(256), 'tab\t'])('is refused when malformed', async (key) => {
    expectProblem(await post(hello, { 'idempotency-key': key }), 400, 'bad-request', /1 to 255/)
  })
})

describe('Reading', () => {
  it.each([
    'no-id',
    newId(),
    '00000000-0000-4000-8000-000000000000',
    '__proto__',
    encodeURIComponent('../../etc/passwd'),
    '%00',
  ])('answers 404 for the id %s', async (id) => {
    expectProblem(await call('GET', `/v1/jobs/${id}`), 404, 'not-found', /no job/)
  })

  it('shows nothing of other tenants', async () => {
    const { body } = await post({ ...hello, delayMs: 60_000 })
    await platform.db.sql`update jobs set tenant = 'theirs' where id = ${body.id}`
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/cancel'],
      ['POST', '/redrive'],
    ] as const) {
      expect((await call(method, `/v1/jobs/${body.id}${path}`)).status).toBe(404)
    }
    expect((await call('GET', '/v1/jobs?limit=200')).body.items.map(({ id }: { id: string }) => id)).not.toContain(
      body.id,
    )
  })

  it('lists newest first, page by page, without gap or double', async () => {
    const { body } = await call('POST', '/v1/jobs/batch', {
      jobs: Array.from({ length: 7 }, () => ({ ...hello, tags: ['paged'] })),
    })
    const seen: string[] = []
    let query = '?tag=paged&limit=3'
    for (;;) {
      const { body: page } = await call('GET', `/v1/jobs${query}`)
      seen.push(...page.items.map(({ id }: { id: string }) => id))
      expect(page.items[0]).not.toHaveProperty('input')
      if (!page.nextCursor) break
      query = `?tag=paged&limit=3&cursor=${page.nextCursor}`
    }
    expect(seen).toEqual(
      body.items
        .map(({ id }: { id: string }) => id)
        .toSorted()
        .toReversed(),
    )
  })

  it('narrows a list by type, status, queue and time', async () => {
    const { body } = await post({ ...hello, delayMs: 60_000, tags: ['narrow'] })
    const found = async (query: string) => (await call('GET', `/v1/jobs?tag=narrow&${query}`)).body.items.length
    const past = encodeURIComponent(new Date(Date.parse(body.createdAt) - 1).toISOString())
    expect(await found('type=echo&status=scheduled&queue=default')).toBe(1)
    expect(await found(`createdAfter=${past}`)).toBe(1)
    expect(await found(`createdBefore=${past}`)).toBe(0)
    expect(await found('status=completed')).toBe(0)
    expect(await found('type=other')).toBe(0)
  })

  it.each([
    'limit=0',
    'limit=-1',
    'limit=1e9',
    'limit=201',
    'status=done',
    'status[$ne]=x',
    'sort=;drop',
    'createdAfter=yesterday',
  ])('refuses ?%s', async (query) => {
    expectProblem(await call('GET', `/v1/jobs?${query}`), 422, 'validation-failed', /querystring/)
  })

  it('refuses a cursor that is not its own', async () => {
    expectProblem(await call('GET', '/v1/jobs?cursor=abc'), 400, 'invalid-cursor', /nextCursor/)
  })
})

describe('Steering', () => {
  it('cancels what has not started, and says so when it has ended', async () => {
    const { body } = await post({ ...hello, delayMs: 60_000 })
    expect(await call('POST', `/v1/jobs/${body.id}/cancel`)).toMatchObject({
      status: 200,
      body: { status: 'cancelled' },
    })
    expect((await call('POST', `/v1/jobs/${body.id}/cancel`)).status).toBe(200)
    const done = await platform.run('echo', { value: 1 })
    expectProblem(await call('POST', `/v1/jobs/${done.id}/cancel`), 409, 'conflict', /completed/)
  })

  it('has the event of a cancelled job placed at once', async () => {
    const { body } = await post({ ...hello, delayMs: 60_000 })
    const heard = Promise.withResolvers<void>()
    const listening = await platform.db.sql.listen(unplacedChannel, () => heard.resolve())
    await call('POST', `/v1/jobs/${body.id}/cancel`)
    await expect(heard.promise).resolves.toBeUndefined()
    await listening.unlisten()
  })

  it('redrives a failed job as a new one that names the old', async () => {
    script('redrive', steps.permanent, steps.ok)
    const failed = await platform.run('scripted', { script: 'redrive' }, { tags: ['t'], priority: 2 })
    const { status, headers, body } = await call('POST', `/v1/jobs/${failed.id}/redrive`)
    expect(status).toBe(202)
    expect(headers.location).toBe(`/v1/jobs/${body.id}`)
    expect(body).toMatchObject({ redriveOf: failed.id, tags: ['t'], priority: 2, input: failed.input, attemptsMade: 0 })
    expect((await platform.ended(body.id)).status).toBe('failed')
    expect((await call('GET', `/v1/jobs/${failed.id}`)).body).toEqual({ ...failed, redrivenAs: body.id })
  })

  it('redrives nothing that has not failed', async () => {
    const done = await platform.run('echo', { value: 1 })
    expectProblem(await call('POST', `/v1/jobs/${done.id}/redrive`), 409, 'conflict', /completed/)
  })

  it('pauses and resumes a queue', async () => {
    expect(await call('POST', '/v1/queues/default/pause')).toMatchObject({
      status: 200,
      body: { name: 'default', paused: true },
    })
    const { body } = await post(hello)
    expect((await call('GET', '/v1/queues/default')).body).toMatchObject({
      counts: { queued: 1 },
      oldestReadyMs: expect.any(Number),
    })
    expect((await call('POST', '/v1/queues/default/resume')).body.paused).toBe(false)
    expect((await platform.ended(body.id)).status).toBe('completed')
  })

  it('knows its queues', async () => {
    const { body } = await call('GET', '/v1/queues')
    expect(body.items.map(({ name }: { name: string }) => name)).toEqual(['default', 'scripted', 'webhooks'])
    expectProblem(await call('GET', '/v1/queues/none'), 404, 'not-found', /v1\/queues/)
    expectProblem(await call('POST', '/v1/queues/none/pause'), 404, 'not-found', /v1\/queues/)
  })
})

describe('The rest', () => {
  it('lists the job types with their schemas', async () => {
    const { body } = await call('GET', '/v1/job-types')
    expect(body.items.find(({ type }: { type: string }) => type === 'echo')).toMatchObject({
      queue: 'default',
      maxAttempts: 5,
      input: { type: 'object', properties: { value: {}, sleepMs: {}, failTimes: {} } },
    })
  })

  it('is ready', async () => {
    const anonymous = { authorization: '' }
    expect(await call('GET', '/livez', undefined, anonymous)).toMatchObject({ status: 200, body: { status: 'up' } })
    expect(await call('GET', '/readyz', undefined, anonymous)).toMatchObject({
      status: 200,
      body: { status: 'ready', postgres: 'up', carrier: 'up' },
    })
  })

  it('describes itself as OpenAPI 3.1', async () => {
    const { status, body } = await call('GET', '/openapi.json', undefined, { authorization: '' })
    expect(status).toBe(200)
    expect(body.openapi).toBe('3.1.0')
    expect(Object.keys(body.paths)).toEqual(
      expect.arrayContaining(['/v1/jobs', '/v1/jobs/batch', '/v1/jobs/{id}', '/v1/job-types', '/v1/queues']),
    )
  })

  it('describes that lists refuse a cursor that is none', async () => {
    const { body } = await call('GET', '/openapi.json')
    for (const path of ['/v1/jobs', '/v1/endpoints', '/v1/deliveries']) {
      expectProblem(await call('GET', `${path}?cursor=x`), 400, 'invalid-cursor', /nextCursor/)
      expect(Object.keys(body.paths[path].get.responses)).toContain('400')
    }
  })

  it.each(['', 'Bearer wrong', 'Basic eDp5', 'Bearer'])(
    'lets nobody in with the authorization "%s"',
    async (authorization) => {
      for (const path of ['/v1/jobs', '/v1/queues', '/v1/job-types', `/v1/jobs/${newId()}`]) {
        const answer = await call('GET', path, undefined, { authorization })
        expectProblem(answer, 401, 'unauthenticated', /Bearer <key>/)
        expect(answer.headers['www-authenticate']).toMatch(/^Bearer/)
      }
    },
  )

  it('answers what it does not know with a problem', async () => {
    expectProblem(await call('GET', '/v2/nothing'), 404, 'not-found', /docs/)
  })
})
