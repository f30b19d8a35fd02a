import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { promisify } from 'node:util'
import { connect } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { readWishes } from '@jobyard/db/telling'
import { Sequencer } from '@jobyard/workers/sequencer'
import { pino } from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'
import WebSocket from 'ws'
import { openEventStream, type TestStream } from '../../testing/event-stream.ts'
import { listenOn, type ListeningApiOptions } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'
import { openRecord, type TestRecord } from '../../testing/record.ts'
import { startTcpProxy } from '../../testing/tcp-proxy.ts'

/** For machines that run all tests at once. */
const patient = { timeout: 10_000 }

/** Names what is told of a job on its way, which others get not. */
const named = 'type=job.progress,job.completed'

type Limits = ListeningApiOptions['eventStreamLimits']

/** A record whose events get their places when the test says so. */
async function openStage() {
  const record = await openRecord()
  const sequencer = new Sequencer({ databaseUrl: record.url, log: pino({ level: 'silent' }) })
  onTestFinished(async () => {
    await sequencer.close()
    await record.close()
  })
  const place = async () => {
    while (await sequencer.runOnce());
  }
  const api = async (limits: Limits = {}) => {
    const listening = await listenOn(record.db, record.url, { eventStreamLimits: limits })
    const open = async (path: string, headers?: Record<string, string>) => {
      const stream = await openEventStream(listening.port, path, headers)
      onTestFinished(() => stream.close())
      return stream
    }
    return { ...listening, open }
  }
  return { record, sql: record.sql, place, api, end: (...jobs: Partial<EndedJob>[]) => endJobs(record, place, jobs) }
}
type Stage = Awaited<ReturnType<typeof openStage>>

interface EndedJob {
  readonly tenant: string
  readonly type: string
  readonly tags: string[]
  readonly status: 'completed' | 'failed'
}

/** Ends new jobs, and gives their events places. @returns their ids, in the order of their places. */
async function endJobs(record: TestRecord, place: () => Promise<void>, jobs: Partial<EndedJob>[]): Promise<string[]> {
  const ids: string[] = []
  for (const { status = 'completed', ...job } of jobs) {
    const id = await record.addJob(job)
    await record.end(id, status, 0)
    ids.push(id)
  }
  await place()
  return ids
}

/** Writes events of a job that do not end it, each with so many characters. */
async function report(sql: TestRecord['sql'], jobId: string, count: number, characters = 1): Promise<void> {
  await sql`
    insert into outbox (id, tenant, job_id, type, occurred_at, data, sequence)
    select gen_random_uuid(), 'default', ${jobId}, 'job.progress', statement_timestamp(),
      json_build_object('fraction', 0.5, 'note', repeat('x', ${characters}::int)), n
    from generate_series(1, ${count}::int) as n`
}

const jobsOf = (stream: TestStream) => stream.messages.map(({ data }) => data.data?.id)
const many = (count: number) => Array.from({ length: count }, () => ({}))

/** Waits for the jobs of a stream's messages to be exactly these: a later one would show a double. */
async function expectJobs(stream: TestStream, ids: string[]): Promise<void> {
  await expect.poll(() => jobsOf(stream).length, { interval: 5, timeout: 5_000 }).toBeGreaterThanOrEqual(ids.length)
  expect(jobsOf(stream)).toEqual(ids)
}

async function pruneUpTo(sql: Stage['sql'], position: number): Promise<void> {
  await sql`delete from endings where position <= ${position}`
  await sql`update stream set tail = ${position}`
}

/** @returns what tells how often the stream was read. */
async function countReads({ sql }: Stage): Promise<() => Promise<number>> {
  await sql`create extension pg_stat_statements`
  return async () => {
    const [row] = await sql`
      select coalesce(sum(calls), 0)::int as calls from pg_stat_statements
      where query like '%from stream as ends left join%' and dbid = (select oid from pg_database where datname = current_database())`
    return row?.calls as number
  }
}

/** Waits until nobody reads the stream any more. */
async function expectRest(reads: () => Promise<number>): Promise<void> {
  let last = -1
  await expect
    .poll(async () => [last, (last = await reads())].reduce((a, b) => b - a), { interval: 200, timeout: 10_000 })
    .toBe(0)
}

describe('A stream of events', () => {
  it('tells what happens from now on, as a webhook would', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    await stage.end({})
    const stream = await open('/v1/events')
    expect(stream).toMatchObject({ status: 200, headers: { 'content-type': 'text/event-stream' } })
    const [id] = await stage.end({ tags: ['a'] })
    await expectJobs(stream, [id!])
    expect(stream.messages[0]).toEqual({
      id: '2',
      event: 'job.completed',
      data: {
        type: 'job.completed',
        version: 1,
        timestamp: expect.any(String),
        data: expect.objectContaining({
          id,
          type: 'echo',
          status: 'completed',
          tags: ['a'],
          sequence: 1,
          link: `/v1/jobs/${id}`,
        }),
      },
    })
  })

  it('tells nothing of other tenants', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const [live, resumed] = await Promise.all([open('/v1/events'), open('/v1/events?lastEventId=0')])
    const [, mine] = await stage.end({ tenant: 'theirs' }, {})
    await Promise.all([expectJobs(live, [mine!]), expectJobs(resumed, [mine!])])
  })

  it.each([
    ['type=job.failed', [1]],
    ['type=job.failed,job.completed', [0, 1, 2]],
    ['type=job.failed&type=job.completed', [0, 1, 2]],
    ['jobType=other', [2]],
    ['jobType=other,echo', [0, 1, 2]],
    ['tag=a&tag=b', [0, 1]],
    ['tag=a&type=job.failed', []],
    ['type=endpoint.disabled', []],
  ])('passes what fits ?%s, live and on resuming', async (query, expected) => {
    const stage = await openStage()
    const { open } = await stage.api()
    const live = await open(`/v1/events?${query}`)
    const ids = await stage.end({ tags: ['a'] }, { tags: ['b', 'c'], status: 'failed' }, { type: 'other' })
    const wanted = expected.map((index) => ids[index]!)
    const everything = await open('/v1/events?lastEventId=0')
    await expectJobs(everything, ids)
    await Promise.all([
      expectJobs(live, wanted),
      expectJobs(await open(`/v1/events?lastEventId=0&${query}`), wanted),
      expectJobs(await open(`/v1/events?${query}`, { 'last-event-id': '0' }), wanted),
    ])
  })

  it.each(['type=job.exploded', 'type=', 'tag=', 'other=1', `tag=${'x'.repeat(65)}`])('refuses ?%s', async (query) => {
    const { open } = await (await openStage()).api()
    const stream = await open(`/v1/events?${query}`)
    await stream.ended
    expect([stream.status, stream.problem().type]).toEqual([422, expect.stringMatching(/validation-failed$/)])
  })

  it.each(['abc', '-1', '1-', '99-1', '1.5', '1e3', '99', '12345678901234567890', ''])(
    'refuses the Last-Event-ID "%s"',
    async (id) => {
      const { open } = await (await openStage()).api()
      const stream = await open('/v1/events', { 'last-event-id': id })
      await stream.ended
      expect([stream.status, stream.problem().type]).toEqual([400, expect.stringMatching(/bad-request$/)])
    },
  )

  it('is for those with a key, and not for HEAD', async () => {
    const { open, app } = await (await openStage()).api()
    expect((await open('/v1/events', { authorization: 'Bearer no' })).status).toBe(401)
    const head = await app.inject({
      method: 'HEAD',
      url: '/v1/events',
      headers: { authorization: `Bearer ${adminKey}` },
    })
    expect(head.statusCode).toBe(404)
  })

  it('shows that it lives, and how far it has come', async () => {
    const stage = await openStage()
    const { open } = await stage.api({ beatEveryMs: 20 })
    const stream = await open('/v1/events?type=job.failed')
    await stage.end({}, {})
    await expect.poll(() => stream.lastEventId(), patient).toBe('2')
    expect(stream.comments).toContain('still here')
    expect(stream.messages).toEqual([])
  })

  it('finds within a second what nobody has told it of', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const stream = await open('/v1/events')
    await stage.sql`
      insert into outbox (id, tenant, type, occurred_at, data, sequence, position)
      values (${newId()}, 'default', 'endpoint.disabled', statement_timestamp(), '{"id":"x"}', 1, 1)`
    await stage.sql`update stream set head = 1`
    await expectJobs(stream, ['x'])
  })

  it('is told at once by the sequencer, also after the connection that listens was lost', async () => {
    const stage = await openStage()
    const { open } = await stage.api({ pollMs: 60_000 })
    const stream = await open('/v1/events')
    const listening = async () =>
      stage.sql<{ pid: number }[]>`
        select pid from pg_stat_activity where query ilike 'listen%' and datname = current_database()`
    await expect.poll(async () => (await listening()).length, patient).toBe(1)
    const [first] = await stage.end({})
    await expectJobs(stream, [first!])
    const [before] = await listening()
    await stage.sql`select pg_terminate_backend(${before!.pid})`
    await expect.poll(async () => (await listening()).filter(({ pid }) => pid !== before!.pid).length, patient).toBe(1)
    await expectJobs(stream, [first!, ...(await stage.end({}))])
  })

  it('asks Postgres once for all who read, and not at all when nobody does', async () => {
    const stage = await openStage()
    const { open } = await stage.api({ pollMs: 10 })
    const calls = await countReads(stage)
    const streams = await Promise.all(Array.from({ length: 20 }, () => open('/v1/events')))
    const before = await calls()
    await expect.poll(calls, patient).toBeGreaterThan(before + 5)
    const since = performance.now()
    const from = await calls()
    await expect.poll(() => performance.now() - since, patient).toBeGreaterThan(300)
    expect((await calls()) - from).toBeLessThan(60)
    for (const stream of streams) stream.close()
    await expectRest(calls)
  })
})

describe('Resuming', () => {
  it('has neither gap nor double, from any position, while events keep coming', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const ids = await stage.end(...many(30))
    let isOver = false
    const coming = (async () => {
      while (!isOver) ids.push(...(await stage.end({}, {}, {})))
    })()
    const streams = await Promise.all(
      [0, 1, 7, 29, 30].map((from) => open('/v1/events', { 'last-event-id': String(from) })),
    )
    await expect.poll(() => ids.length, patient).toBeGreaterThan(60)
    isOver = true
    await coming
    await Promise.all([0, 1, 7, 29, 30].map((from, index) => expectJobs(streams[index]!, ids.slice(from))))
  })

  it('goes by pages through a long past, and then on to what is new', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const id = await stage.record.addJob()
    await report(stage.sql, id, 2_345)
    await stage.place()
    const stream = await open(`/v1/events?lastEventId=0&${named}`)
    await expect.poll(() => stream.messages.length, patient).toBe(2_345)
    const [last] = await stage.end({})
    await expect.poll(() => stream.messages.length, patient).toBe(2_346)
    expect(stream.messages.map((message) => Number(message.id))).toEqual(Array.from({ length: 2_346 }, (_, n) => n + 1))
    expect(jobsOf(stream).at(-1)).toBe(last)
  })

  it('goes on at another API, and at one that has started anew', async () => {
    const stage = await openStage()
    const first = await stage.api()
    const stream = await first.open('/v1/events')
    const ids = await stage.end({}, {})
    await expectJobs(stream, ids)
    await first.app.close()
    await stream.ended
    expect(stream.messages.at(-1)).toEqual({ id: '2', event: 'end', data: { reason: 'draining', position: 2 } })
    const missed = await stage.end({})
    const second = await stage.api()
    const resumed = await second.open('/v1/events', { 'last-event-id': stream.lastEventId() })
    await expectJobs(resumed, missed)
    await expectJobs(resumed, [...missed, ...(await stage.end({}))])
  })

  it('prefers the header, which a browser keeps up to date, to the query', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const ids = await stage.end({}, {}, {})
    await expectJobs(await open('/v1/events?lastEventId=0', { 'last-event-id': '2' }), ids.slice(2))
  })

  it('after more was deleted than was read is told so, and goes on', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const ids = await stage.end(...many(5))
    await pruneUpTo(stage.sql, 3)
    const [behind, inTime] = await Promise.all([open('/v1/events?lastEventId=1'), open('/v1/events?lastEventId=3')])
    await expect.poll(() => behind.messages.length, patient).toBe(3)
    expect(behind.messages[0]).toEqual({
      id: '3',
      event: 'reset',
      data: { reason: 'deleted', missedFrom: 2, missedThrough: 3 },
    })
    expect(jobsOf(behind).slice(1)).toEqual(ids.slice(3))
    await expectJobs(inTime, ids.slice(3))
  })

  it('after a standby has taken over is told that it may have missed something, and goes on', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const ids = await stage.end({}, {})
    const of = async (id: string, path = '/v1/events') => (await open(path, { 'last-event-id': id })).messages
    const [behind, ahead, job] = [await of('1-7'), await of('99-7'), await of('2-7', `/v1/jobs/${ids[1]}/events`)]
    await expect.poll(() => [behind.length, ahead.length, job.length], patient).toEqual([2, 1, 2])
    expect(behind[0]).toEqual({ id: '1', event: 'reset', data: { reason: 'failover' } })
    expect(behind[1]?.data.data.id).toBe(ids[1])
    expect(ahead[0]).toEqual({ id: '2', event: 'reset', data: { reason: 'failover' } })
    expect(job.map(({ event }) => event)).toEqual(['reset', 'job.completed'])
  })

  it('is told of a gap that comes while it reads', async () => {
    const stage = await openStage()
    const { record } = stage
    const network = await startTcpProxy(record.url)
    const db = connect(network.url, { applicationName: 'cut', silentMs: 1_500 })
    onTestFinished(async () => {
      await db.close()
      network.close()
    })
    const api = await listenOn(db, record.url)
    const stream = await openEventStream(api.port, '/v1/events')
    onTestFinished(() => stream.close())
    await expectJobs(stream, await stage.end({}))
    network.freeze()
    const [, , kept] = await stage.end({}, {}, {})
    await pruneUpTo(stage.sql, 3)
    network.thaw()
    await expect.poll(() => stream.messages.length, { timeout: 20_000 }).toBe(3)
    expect(stream.messages[1]).toEqual({
      id: '3',
      event: 'reset',
      data: { reason: 'deleted', missedFrom: 2, missedThrough: 3 },
    })
    expect(jobsOf(stream)[2]).toBe(kept)
  })
})

describe('The stream of one job', () => {
  it('begins with its first event and ends after its last', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const id = await stage.record.addJob()
    await report(stage.sql, id, 2)
    await stage.place()
    const stream = await open(`/v1/jobs/${id}/events?${named}`)
    await expect.poll(() => stream.messages.length, patient).toBe(2)
    await stage.end({})
    await report(stage.sql, id, 1)
    await stage.record.end(id, 'completed', 0)
    await stage.place()
    await stream.ended
    expect(stream.messages.map(({ event }) => event)).toEqual([
      'job.progress',
      'job.progress',
      'job.progress',
      'job.completed',
    ])
    expect(new Set(jobsOf(stream))).toEqual(new Set([id]))
    expect(stream.messages.map(({ id: position }) => Number(position))).toEqual([1, 2, 4, 5])
  })

  it('tells of a job that has ended already, from where the reader left', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const id = await stage.record.addJob()
    await report(stage.sql, id, 2)
    await stage.record.end(id, 'completed', 0)
    await stage.place()
    const stream = await open(`/v1/jobs/${id}/events?${named}`, { 'last-event-id': '1' })
    await stream.ended
    expect(stream.messages.map(({ id: position }) => position)).toEqual(['2', '3'])
  })

  it('answers 204 to who knows of the end, so that browsers do not connect for ever', async () => {
    const stage = await openStage()
    const { open } = await stage.api({ maxPerKey: 1 })
    const [id] = await stage.end({})
    for (let time = 0; time < 3; time++)
      expect((await open(`/v1/jobs/${id}/events`, { 'last-event-id': '1' })).status).toBe(204)
  })

  it('ends with the job also where the end is filtered out', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const id = await stage.record.addJob()
    const stream = await open(`/v1/jobs/${id}/events?type=job.progress`)
    await report(stage.sql, id, 1)
    await stage.record.end(id, 'failed', 0)
    await stage.place()
    await stream.ended
    expect(stream.messages.map(({ event }) => event)).toEqual(['job.progress'])
  })

  it('waits for the place of an end that has none yet', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const id = await stage.record.addJob()
    await stage.record.end(id, 'completed', 0)
    const stream = await open(`/v1/jobs/${id}/events`)
    await stage.place()
    await stream.ended
    expect(stream.messages.map(({ event }) => event)).toEqual(['job.completed'])
  })

  it('is not there for jobs that do not exist, or are of others, or internal', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const theirs = await stage.record.addJob({ tenant: 'theirs' })
    const internal = await stage.record.addJob({ internal: true })
    for (const id of [newId(), theirs, internal, 'no-id', '%00']) {
      expect((await open(`/v1/jobs/${id}/events`)).status).toBe(404)
    }
  })
})

describe('Events on the way to the end', () => {
  it('are asked for while a reader names them, and told to no other', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const [plain, curious] = await Promise.all([open('/v1/events'), open(`/v1/events?${named}`)])
    await expect.poll(() => readWishes(stage.sql), patient).toEqual(['job.progress'])
    const id = await stage.record.addJob()
    await report(stage.sql, id, 1)
    await stage.record.end(id, 'completed', 0)
    await stage.place()
    await expect
      .poll(() => curious.messages.map(({ event }) => event), patient)
      .toEqual(['job.progress', 'job.completed'])
    await expect.poll(() => plain.messages.map(({ event }) => event), patient).toEqual(['job.completed'])
  })
})

describe('The bounds of streams', () => {
  it('are so many for each key, and so many for the process', async () => {
    const stage = await openStage()
    const { open } = await stage.api({ maxPerKey: 2 })
    const [first] = await Promise.all([open('/v1/events'), open('/v1/events')])
    const refused = await open('/v1/events')
    await refused.ended
    expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '5' } })
    expect(refused.problem().type).toMatch(/rate-limited$/)
    first.close()
    await expect.poll(async () => (await open('/v1/events')).status, patient).toBe(200)
    const full = await (await stage.api({ maxInAll: 0 })).open('/v1/events')
    expect(full).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  })

  it.each([
    ['that follows', `?${named}`],
    ['that resumes', `?${named}&lastEventId=0`],
  ])('drop a slow reader %s with its position, and cost the others nothing', async (_what, query) => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxWaitingBytes: 65_536, pageWithinMs: 300 })
    const id = await stage.record.addJob()
    const isBehind = query.includes('lastEventId')
    if (isBehind) await report(stage.sql, id, 600, 50_000)
    await stage.place()
    const slow = connectSocket(port, '127.0.0.1')
    onTestFinished(() => void slow.destroy())
    slow.write(`GET /v1/events${query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminKey}\r\n\r\n`)
    await once(slow, 'readable')
    const quick = await open(`/v1/events?${named}`)
    for (let round = 0; round < 6 && !isBehind; round++) {
      await report(stage.sql, id, 100, 50_000)
      await stage.place()
      await expect.poll(() => quick.messages.length, patient).toBe((round + 1) * 100)
    }
    const ending = new Promise((resolve) => slow.once('end', resolve))
    let text = ''
    setTimeout(() => slow.on('data', (chunk) => (text = (text + chunk.toString()).slice(-500))), 1_000)
    await ending
    const [, position = ''] = /"reason":"slow","position":(\d+)/.exec(text) ?? []
    expect(Number(position)).toBeGreaterThan(0)
    expect(Number(position)).toBeLessThan(600)
    expect(text).toContain(`id: ${position}\nevent: end`)
  })

  it('give a place back when the client goes while its stream is opened', async () => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxPerKey: 1 })
    for (let time = 0; time < 20; time++) {
      const socket = connectSocket(port, '127.0.0.1')
      socket.write(`GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminKey}\r\n\r\n`, () =>
        socket.resetAndDestroy(),
      )
      await once(socket, 'close')
    }
    await expect.poll(async () => (await open('/v1/events')).status, patient).toBe(200)
  })
})

describe('A connection', () => {
  const auth = `authorization: Bearer ${adminKey}\r\n`
  const upgrade = 'connection: upgrade\r\nupgrade: websocket\r\n'
  const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`
  const startWriting = (port: number, text: string) => {
    const socket = connectSocket(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.resume().write(text)
    return socket
  }

  it('that asks for a WebSocket behind a request without an answer is not lost', async () => {
    const { port, app } = await (await openStage()).api()
    const socket = startWriting(port, get('/readyz') + get('/v1/events', upgrade))
    await once(socket, 'end')
    const connections = async () => promisify(app.server.getConnections.bind(app.server))()
    await expect.poll(connections, patient).toBe(0)
  })

  it('that asks for a WebSocket while the API closes does not keep it from closing', async () => {
    const { port, app } = await (await openStage()).api()
    const socket = startWriting(port, get('/v1/events', upgrade + auth).slice(0, -2))
    const connections = async () => promisify(app.server.getConnections.bind(app.server))()
    await expect.poll(connections, patient).toBe(1)
    await new Promise((resolve) => setImmediate(resolve))
    const closed = app.close()
    socket.write('\r\n')
    await closed
  })

  it('that follows a stream behind a request without an answer ends both', async () => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxPerKey: 2, pollMs: 10 })
    const reads = await countReads(stage)
    const socket = startWriting(port, get('/v1/events', auth) + get('/v1/events', auth))
    await expect.poll(async () => (await open('/v1/events')).status, patient).toBe(429)
    await once(socket, 'data')
    socket.destroy()
    await expectRest(reads)
  })
})

describe('A WebSocket', () => {
  const dial = async (port: number, path: string, headers: Record<string, string> = {}) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, {
      headers: { authorization: `Bearer ${adminKey}`, ...headers },
    })
    onTestFinished(() => socket.terminate())
    const messages: any[] = []
    socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())))
    const status = new Promise<number>((resolve, reject) => {
      socket.once('open', () => resolve(101))
      socket.once('unexpected-response', (_request, answer) => resolve(answer.resume().statusCode ?? 0))
      socket.once('error', reject)
    })
    const closed = new Promise<number>((resolve) => socket.once('close', resolve))
    return { socket, messages, status: await status, closed }
  }

  it('tells the same, with the same filters, and resumes', async () => {
    const stage = await openStage()
    const { port } = await stage.api()
    const ids = await stage.end({}, { status: 'failed' })
    const { messages } = await dial(port, '/v1/events?lastEventId=0&type=job.completed')
    await expect.poll(() => messages.length, patient).toBe(2)
    expect(messages[0]).toEqual({ id: '0', type: 'open', data: {} })
    expect(messages[1]).toMatchObject({
      id: '1',
      type: 'job.completed',
      data: { type: 'job.completed', data: { id: ids[0] } },
    })
    const [next] = await stage.end({})
    await expect.poll(() => messages.length, patient).toBe(3)
    expect(messages[2]).toMatchObject({ id: '3', data: { data: { id: next } } })
  })

  it('ends with its job', async () => {
    const stage = await openStage()
    const { port } = await stage.api()
    const id = await stage.record.addJob()
    const { messages, closed } = await dial(port, `/v1/jobs/${id}/events`)
    await stage.record.end(id, 'completed', 0)
    await stage.place()
    expect(await closed).toBe(1_000)
    expect(messages.map(({ type }) => type)).toEqual(['open', 'job.completed'])
    expect(await (await dial(port, `/v1/jobs/${id}/events?lastEventId=1`)).closed).toBe(1_000)
  })

  it('is refused before it opens, as any other request', async () => {
    const stage = await openStage()
    const { port } = await stage.api({ maxPerKey: 1 })
    expect((await dial(port, '/v1/events', { authorization: 'Bearer no' })).status).toBe(401)
    expect((await dial(port, '/v1/events?lastEventId=x')).status).toBe(400)
    expect((await dial(port, '/v1/events?type=x')).status).toBe(422)
    expect((await dial(port, `/v1/jobs/${newId()}/events`)).status).toBe(404)
    expect((await dial(port, '/v1/jobs')).status).toBe(200)
    expect((await dial(port, '/v1/events')).status).toBe(101)
    expect((await dial(port, '/v1/events')).status).toBe(429)
  })

  it('is told where to go on when the API drains', async () => {
    const stage = await openStage()
    const { port, app } = await stage.api()
    const { messages, closed } = await dial(port, '/v1/events')
    await expect.poll(() => messages.length, patient).toBe(1)
    await app.close()
    expect(await closed).toBe(1_001)
    expect(messages.at(-1)).toEqual({ id: '0', type: 'end', data: { reason: 'draining', position: 0 } })
  })

  it('is cut with all other connections', async () => {
    const stage = await openStage()
    const { port, app } = await stage.api()
    const { closed } = await dial(port, '/v1/events')
    app.cutConnections()
    expect(await closed).toBe(1_006)
  })

  it('that answers no ping is cut off', async () => {
    const stage = await openStage()
    const { port } = await stage.api({ beatEveryMs: 50 })
    const { socket, closed } = await dial(port, '/v1/events')
    socket.pause()
    setTimeout(() => socket.resume(), 400)
    expect(await closed).toBe(1_006)
  })

  it('that takes nothing is dropped, and told where to go on', async () => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxWaitingBytes: 65_536 })
    const id = await stage.record.addJob()
    const { socket, messages, closed } = await dial(port, `/v1/events?${named}`)
    const quick = await open(`/v1/events?${named}`)
    socket.pause()
    for (let round = 1; round < 7; round++) {
      await report(stage.sql, id, 100, 50_000)
      await stage.place()
      await expect.poll(() => quick.messages.length, patient).toBe(round * 100)
    }
    socket.resume()
    expect(await closed).toBe(1_013)
    const { id: position, type, data } = messages.at(-1)
    expect([type, data]).toEqual(['end', { reason: 'slow', position: Number(position) }])
    expect(messages.slice(1, -1).map((message) => Number(message.id))).toEqual(
      Array.from({ length: Number(position) }, (_, index) => index + 1),
    )
  })

  it('that never comes to be gives its place back', async () => {
    const stage = await openStage()
    const { port } = await stage.api({ maxPerKey: 1 })
    for (let time = 0; time < 3; time++) {
      const socket = connectSocket(port, '127.0.0.1')
      socket
        .resume()
        .write(
          `GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminKey}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
        )
      await once(socket, 'close')
    }
    await expect.poll(async () => (await dial(port, '/v1/events')).status, patient).toBe(101)
  })

  it('that says too much is cut off, and what it says does nothing', async () => {
    const stage = await openStage()
    const { port } = await stage.api()
    const { socket, closed } = await dial(port, '/v1/events')
    socket.send('hello')
    socket.send('x'.repeat(2_000))
    expect(await closed).toBe(1_009)
  })

  it('offer of HTTP/2, which many clients make, changes nothing', async () => {
    const stage = await openStage()
    const { port } = await stage.api()
    const answer = await openEventStream(port, '/v1/jobs', { connection: 'upgrade, http2-settings', upgrade: 'h2c' })
    expect(answer.status).toBe(200)
  })
})
