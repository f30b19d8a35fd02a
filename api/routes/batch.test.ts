import { once } from 'node:events'
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { connect as connectSocket } from 'node:net'
import { Readable } from 'node:stream'
import { json, text } from 'node:stream/consumers'
import { createInterface } from 'node:readline'
import type { Sql } from '@jobyard/db/connect'
import { describe, expect, it, onTestFinished } from 'vitest'
import { head, listen, type ListeningApiOptions } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'

const line = (value: unknown, more = {}) => `${JSON.stringify({ type: 'echo', input: { value }, ...more })}\n`
const accepted = (index: number) => ({ index, id: expect.any(String) })
const refused = (index: number, kind: string) => ({
  index,
  problem: expect.objectContaining({
    type: expect.stringMatching(new RegExp(`/${kind}$`)),
    detail: expect.any(String),
  }),
})

/** An API on a port of its own, without workers. */
async function openApi(options: ListeningApiOptions = {}) {
  const api = await listen(options)
  const { port, sql } = api
  return {
    ...api,
    open: (headers?: Record<string, string>, agent?: Agent) => openStream(port, headers, agent),
    values: async () =>
      (await sql`select input -> 'value' as value from jobs order by id`).map(({ value }) => value as unknown),
  }
}

/** A request with lines that are yet to be sent. */
function openStream(port: number, headers: Record<string, string> = {}, agent: Agent = new Agent()) {
  const request = httpRequest({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/v1/jobs/batch',
    agent,
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/x-ndjson', ...headers },
  })
  onTestFinished(() => void request.destroy())
  const response = once(request, 'response').then(([answer]) => answer as IncomingMessage)
  response.catch(() => {})
  return { request, response, answers: readAnswers(response) }
}

async function* readAnswers(response: Promise<IncomingMessage>): AsyncGenerator<any> {
  for await (const answer of createInterface({ input: await response })) yield JSON.parse(answer)
}

/** The answers to a stream that is sent whole. */
async function submit(request: ClientRequest, answers: AsyncGenerator<any>, body: string | Buffer): Promise<any[]> {
  request.end(body)
  return Array.fromAsync(answers)
}

/** Keeps every commit of a job waiting. */
async function holdIntake(sql: Sql) {
  const connection = await sql.reserve()
  await connection`begin`
  await connection`lock table jobs in exclusive mode`
  return {
    /** Resolves when a statement waits. */
    waiting: () =>
      expect
        .poll(
          async () =>
            (await connection`select 1 from pg_locks where relation = 'jobs'::regclass and not granted`).length,
        )
        .toBeGreaterThan(0),
    release: async () => {
      await connection`commit`
      connection.release()
    },
  }
}

describe('A stream of jobs', () => {
  it('gets an id or a problem for each line, in order', async () => {
    const { open, values } = await openApi()
    const { request, response, answers } = open()
    const lines = [
      line(0),
      '\n \t\r\n',
      '{"type":"echo",\n',
      line('é€🙂').replace('\n', '\r\n'),
      line(3, { type: 'ecko' }),
      line(4, { prioritty: 1 }),
      '{"type":"echo","input":{"value":1e400}}\n',
      '5\n',
      line(7, { delayMs: 60_000, tags: ['a'], metadata: { order: 1 } }).trimEnd(),
    ]
    const invalid = Buffer.concat([
      Buffer.from('{"type":"echo","input":{"value":"'),
      Buffer.from([0xff]),
      Buffer.from('"}}\n'),
    ])
    expect(await submit(request, answers, Buffer.concat([invalid, Buffer.from(lines.join(''))]))).toEqual([
      refused(0, 'invalid-json'),
      accepted(1),
      refused(2, 'invalid-json'),
      accepted(3),
      refused(4, 'unknown-job-type'),
      refused(5, 'validation-failed'),
      refused(6, 'validation-failed'),
      refused(7, 'validation-failed'),
      accepted(8),
    ])
    expect(await response).toMatchObject({ statusCode: 202, headers: { 'content-type': 'application/x-ndjson' } })
    expect(await values()).toEqual([0, 'é€🙂', 7])
  })

  it('gets each answer before the next line is sent, and keeps its connection', async () => {
    const { open } = await openApi()
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    const { request, answers } = open({}, agent)
    for (let index = 0; index < 3; index++) {
      request.write(line(index))
      expect((await answers.next()).value).toEqual(accepted(index))
    }
    request.end()
    expect((await answers.next()).done).toBe(true)
    const next = open({}, agent)
    expect(await submit(next.request, next.answers, line(3))).toEqual([accepted(0)])
    expect([next.request.reusedSocket, next.request.socket]).toEqual([true, request.socket])
  })

  it('may be longer than anything that is held at once', async () => {
    const { open, sql } = await openApi({ streamLimits: { maxUnderWay: 50, maxHeldBytes: 5_000 } })
    const { request, answers } = open()
    const lines = Array.from({ length: 3_000 }, (_, index) => line(index))
    const got = await submit(request, answers, lines.join(''))
    expect(got).toEqual(lines.map((_, index) => accepted(index)))
    const stored = await sql`select id, (input ->> 'value')::int as value from jobs`
    expect(new Map(stored.map(({ id, value }) => [value, id]))).toEqual(
      new Map(got.map(({ index, id }) => [index, id])),
    )
  })

  it('honours idempotency keys, within itself and when it is repeated', async () => {
    const { open, values } = await openApi()
    const body = [
      line(1, { idempotencyKey: 'a' }),
      line(1, { idempotencyKey: 'a' }),
      line(2, { idempotencyKey: 'a' }),
    ].join('')
    for (let repetition = 0; repetition < 2; repetition++) {
      const { request, answers } = open()
      const [first, second, third] = await submit(request, answers, body)
      expect(second).toEqual({ index: 1, id: first.id })
      expect(third).toEqual(refused(2, 'idempotency-key-reused'))
    }
    expect(await values()).toEqual([1])
  })

  it('loses a line that is too long, and no other', async () => {
    const { open, values } = await openApi({ streamLimits: { maxLineBytes: 200 } })
    const { request, answers } = open()
    request.write(line(0) + line('x'.repeat(1_000)).trimEnd())
    expect((await answers.next()).value).toEqual(accepted(0))
    expect((await answers.next()).value).toEqual(refused(1, 'too-large'))
    expect(await submit(request, answers, `${'x'.repeat(1_000)}\n${line(2)}`)).toEqual([accepted(2)])
    expect(await values()).toEqual([0, 2])
  })

  it.each([
    ['jobs', { maxItems: 2 }],
    ['bytes', { maxBytes: 2 * line(0).length + 20 }],
  ])('of too many %s is taken up to there, told where it was cut, and closed', async (_what, streamLimits) => {
    const { open, values } = await openApi({ streamLimits })
    const { request, answers } = open()
    request.write(line(0) + line(1) + line(2))
    expect(await Array.fromAsync(answers)).toEqual([accepted(0), accepted(1), refused(2, 'too-large')])
    await once(request, 'close')
    expect(await values()).toEqual([0, 1])
  })

  it('ends without loss when the jobs are just as many as allowed', async () => {
    const { open } = await openApi({ streamLimits: { maxItems: 2, maxBytes: 2 * line(0).length } })
    const { request, answers } = open()
    expect(await submit(request, answers, line(0) + line(1))).toEqual([accepted(0), accepted(1)])
  })

  it.each([
    ['is empty', '', {}, 422, 'validation-failed'],
    ['has blank lines only', '\n \n', {}, 422, 'validation-failed'],
    ['comes without a key', line(1), { authorization: '' }, 401, 'unauthenticated'],
    ['is compressed', line(1), { 'content-encoding': 'gzip' }, 415, 'unsupported-media-type'],
    [
      'is not UTF-8',
      line(1),
      { 'content-type': 'application/x-ndjson; charset=utf-16' },
      415,
      'unsupported-media-type',
    ],
  ])('is refused as a whole when it %s', async (_what, body, headers, status, kind) => {
    const { open, values } = await openApi()
    const { request, response } = open(headers)
    request.end(body)
    const answer = await response
    expect(answer).toMatchObject({ statusCode: status, headers: { 'content-type': 'application/problem+json' } })
    expect(await json(answer)).toMatchObject({ type: expect.stringMatching(new RegExp(`/${kind}$`)) })
    expect(await values()).toEqual([])
  })

  it('is accepted with the character set named', async () => {
    const { open } = await openApi()
    const { request, answers } = open({ 'content-type': 'Application/X-NDJSON; Charset="UTF-8"' })
    expect(await submit(request, answers, line(1))).toEqual([accepted(0)])
  })
})

describe('A client of a stream', () => {
  it('that reads no answers is not read from, and cut off', async () => {
    const { app, port, sql } = await openApi({ streamLimits: { idleMs: 200 } })
    const socket = connectSocket(port, '127.0.0.1').on('error', () => {})
    socket.write(`${head('/v1/jobs/batch', 'application/x-ndjson')}content-length: 1000000000\r\n\r\n`)
    const wrong = line(0, { type: 'x'.repeat(80) }).repeat(9)
    for (let sent = 0; sent < 10_000; sent++) socket.write(wrong + line(sent))
    await new Promise((resolve) => socket.once('close', resolve))
    await app.close()
    const [counted] = await sql`select count(*)::int as jobs from jobs`
    expect(counted?.jobs).toBeLessThan(8_000)
  })

  it('that goes away leaves what it had handed in, and nothing else', async () => {
    const { app, open, sql, values } = await openApi()
    const intake = await holdIntake(sql)
    const { request } = open()
    request.write(line(0) + line(1) + line(2).trimEnd())
    await intake.waiting()
    request.destroy()
    await expect
      .poll(async () => new Promise((resolve) => app.server.getConnections((_, count) => resolve(count))))
      .toBe(0)
    await intake.release()
    await app.close()
    expect(await values()).toEqual([0, 1])
  })

  it('that falls silent is told from where on to send again', async () => {
    const { open } = await openApi({ streamLimits: { idleMs: 50 } })
    const { request, response, answers } = open()
    request.write(line(0))
    expect(await Array.fromAsync(answers)).toEqual([accepted(0), refused(1, 'timeout')])
    await once(request, 'close')
    expect((await response).statusCode).toBe(202)
  })

  it('that never says anything gets a problem', async () => {
    const { open } = await openApi({ streamLimits: { idleMs: 50 } })
    const { request, response } = open()
    request.flushHeaders()
    const answer = await response
    expect([answer.statusCode, await json(answer)]).toMatchObject([408, { status: 408 }])
  })
})

it('A client that sends without end gets all its answers before its connection is closed', async () => {
  const { port } = await openApi({ streamLimits: { maxItems: 2 } })
  const socket = connectSocket(port, '127.0.0.1').on('error', () => {})
  socket.write(`${head('/v1/jobs/batch', 'application/x-ndjson')}content-length: 1000000000\r\n\r\n`)
  const send = () => {
    while (socket.writable && socket.write(line('x'.repeat(10_000)))) continue
  }
  socket.on('drain', send)
  send()
  expect(await text(socket)).toMatch(/"index":0.*"index":1.*"index":2,"problem":[^]*\r\n0\r\n\r\n$/s)
})

describe('An API that stops', () => {
  it('answers what a stream had handed in, and says from where on to send again', async () => {
    const { app, open, sql, values } = await openApi()
    const intake = await holdIntake(sql)
    const { request, answers } = open()
    request.write(line(0) + line(1))
    await intake.waiting()
    const closed = app.close()
    await expect.poll(() => app.server.listening).toBe(false)
    request.write(line(2))
    await intake.release()
    expect(await Array.fromAsync(answers)).toEqual([accepted(0), accepted(1), refused(2, 'unavailable')])
    await closed
    expect(await values()).toEqual([0, 1])
  })

  it('answers a stream that was sent to its end, and closes the connection', async () => {
    const { app, open, sql } = await openApi()
    const agent = new Agent({ keepAlive: true })
    onTestFinished(() => agent.destroy())
    const { request, answers } = open({}, agent)
    request.write(line(0))
    expect((await answers.next()).value).toEqual(accepted(0))
    const intake = await holdIntake(sql)
    request.end(line(1))
    await intake.waiting()
    const closed = app.close()
    await intake.release()
    expect(await Array.fromAsync(answers)).toEqual([accepted(1)])
    await closed
  })

  it('refuses a stream of which it has got nothing', async () => {
    const { app, open } = await openApi()
    const { request, response } = open({ expect: '100-continue' })
    request.flushHeaders()
    await once(request, 'continue')
    const closed = app.close()
    expect((await response).statusCode).toBe(503)
    await closed
  })
})

it('An item of a batch is bounded as a line is, however the batch is sent', async () => {
  const { app } = await listen()
  const hello = { type: 'echo', input: { value: 1 } }
  const body = JSON.stringify({ jobs: [hello, { type: 'echo', input: { value: 'x'.repeat(1_048_576) } }, hello] })
  for (const payload of [body, Readable.from([body])]) {
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/jobs/batch',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      payload,
    })
    expect(answer.json()).toEqual({ items: [accepted(0), refused(1, 'too-large'), accepted(2)] })
  }
})

it.each(['application/x-ndjsonX', 'application/x-ndjson-seq'])('%s is no stream', async (type) => {
  const { app } = await listen({ rateLimits: { key: { perMs: 1 / 3_600_000, burst: 1 } } })
  const send = () =>
    app.inject({
      method: 'POST',
      url: '/v1/jobs/batch',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': type },
      payload: line(0),
    })
  expect((await send()).statusCode).toBe(415)
  expect((await send()).statusCode).toBe(429)
})

it('A batch without a body is refused', async () => {
  const { app } = await openApi()
  const answer = await app.inject({
    method: 'POST',
    url: '/v1/jobs/batch',
    headers: { authorization: `Bearer ${adminKey}` },
  })
  expect(answer.statusCode).toBe(400)
})

it('OpenAPI describes a batch as an array and as lines', async () => {
  const { app } = await openApi()
  const { paths, components } = (await app.inject('/openapi.json')).json()
  const { requestBody, responses } = paths['/v1/jobs/batch'].post
  const item = { $ref: '#/components/schemas/BatchItem' }
  expect(components.schemas.BatchItem).toMatchObject({
    type: 'object',
    required: ['type', 'input'],
    properties: { idempotencyKey: { type: 'string' } },
  })
  expect(requestBody.content).toMatchObject({
    'application/json': { schema: { properties: { jobs: { type: 'array', maxItems: 1_000, items: item } } } },
    'application/x-ndjson': { schema: item },
  })
  const answer = { anyOf: [{ required: ['index', 'id'] }, { required: ['index', 'problem'] }] }
  expect(responses['202'].content).toMatchObject({
    'application/json': { schema: { properties: { items: { type: 'array', items: answer } } } },
    'application/x-ndjson': { schema: answer },
  })
})
