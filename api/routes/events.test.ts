import { connect } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { readWishes } from '@jobyard/db/telling'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  countReads,
  expectJobs,
  expectRest,
  jobsOf,
  many,
  named,
  openStage,
  patient,
  pruneUpTo,
  report,
} from '../../testing/event-stage.ts'
import { openEventStream } from '../../testing/event-stream.ts'
import { listenOn } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'
import { startTcpProxy } from '../../testing/tcp-proxy.ts'

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
    expect(head.statusCode).toBe(405)
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
    const fromTheBeginning = await open('/v1/events?lastEventId=0')
    await expect.poll(() => fromTheBeginning.messages.length, patient).toBe(3)
    expect(fromTheBeginning.messages[0]?.data).toEqual({ reason: 'deleted', missedFrom: 1, missedThrough: 3 })
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

  it('goes by pages through a long past of the job, from any position, while more comes', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const id = await stage.record.addJob()
    for (let round = 0; round < 3; round++) {
      await report(stage.sql, id, 199)
      await stage.end({}, { tenant: 'theirs' })
    }
    const places = [0, 1, 200, 201, 402, 603]
    const streams = await Promise.all(
      places.map((from) => open(`/v1/jobs/${id}/events?${named}`, { 'last-event-id': String(from) })),
    )
    for (let round = 0; round < 20; round++) {
      await report(stage.sql, id, 20)
      await stage.end({})
    }
    await stage.record.end(id, 'completed', 0)
    await stage.place()
    const told = await stage.sql<{ position: number }[]>`
      select position::int from outbox where job_id = ${id} and position is not null
      union all select position::int from endings where ${id} = any(job_ids) order by position`
    for (const [index, stream] of streams.entries()) {
      await stream.ended
      const expected = told.map(({ position }) => position).filter((position) => position > places[index]!)
      expect(stream.messages.map((message) => Number(message.id))).toEqual(expected)
      expect(stream.messages.at(-1)?.event).toBe('job.completed')
    }
  })

  it('reads of the past of the job only what is after its place, 200 events at a time', async () => {
    const stage = await openStage()
    const { open } = await stage.api()
    const id = await stage.record.addJob()
    await report(stage.sql, id, 600)
    await stage.place()
    await stage.sql`create extension pg_stat_statements`
    const [database] = await stage.sql`select oid from pg_database where datname = current_database()`
    const readFrom = async (place: number) => {
      await stage.sql`select pg_stat_statements_reset(0, ${database!.oid}, 0)`
      const stream = await open(`/v1/jobs/${id}/events?${named}`, { 'last-event-id': String(place) })
      await expect.poll(() => stream.messages.length, patient).toBe(600 - place)
      const [read] = await stage.sql`
        select calls::int, rows::int from pg_stat_statements where query like '%as wanted (type)%' and dbid = ${database!.oid}`
      return read
    }
    expect(await readFrom(0)).toEqual({ calls: 1 + 3, rows: 1 + 600 })
    expect(await readFrom(590)).toEqual({ calls: 1 + 1, rows: 1 + 10 })
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
