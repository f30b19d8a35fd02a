import { heldUp, type EndpointBehind } from '@jobyard/db/behind'
import { connect } from '@jobyard/db/connect'
import { listDeliveries, readDelivery, redeliver, type Step } from '@jobyard/db/deliveries'
import { disableEndpoint, enableEndpoint, readEndpoint, startReplay } from '@jobyard/db/endpoints'
import { newId } from '@jobyard/db/ids'
import { openCarrier, type Carrier } from '@jobyard/queues/carrier'
import { TicketSender } from '@jobyard/queues/tickets'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { halve, legOf, Relay } from './relay.ts'

const log = pino({ level: 'silent' })
let record: TestRecord
let carrier: Carrier
let tickets: TicketSender
beforeAll(async () => {
  record = await openRecord()
  carrier = openCarrier({ databaseUrl: record.url, onError: () => {} })
  tickets = new TicketSender(carrier, { contracts: [], onLost: () => {} })
})
afterAll(async () => {
  await carrier.close()
  await record.close()
})
beforeEach(async () => {
  await record.sql`truncate jobs, endings, outbox, endpoints, deliveries, arrivals`
  await record.sql`update stream set head = 0, tail = 0`
})

const relay = (sql = record.sql) => new Relay({ sql, tickets, log })

/** Ends jobs, one after the other, and gives their events places. @returns their ids. */
async function end(count: number, overrides = {}): Promise<string[]> {
  const ids: string[] = []
  for (let each = 0; each < count; each++) {
    const id = await record.addJob(overrides)
    await record.end(id, 'completed', 0)
    ids.push(id)
  }
  await record.place()
  return ids
}

const delivered = async (endpoint: string) =>
  (await listDeliveries(record.sql, 'default', { endpoint }, 200)).toReversed().map(({ eventId }) => eventId)

/** Has the attempts at deliveries end. */
async function finish(status: 'completed' | 'retrying' = 'completed'): Promise<void> {
  await record.sql`
    update jobs set status = ${status}, ticketed_at = null, finished_at = case when ${status} = 'completed' then now() end,
      due_at = case when ${status} = 'retrying' then now() + interval '1 hour' end
    where internal and status = 'queued'`
}

describe('The relay', () => {
  it('makes one delivery of each event for each endpoint of its tenant', async () => {
    const [one, two, foreign] = [
      await addEndpoint(record.sql),
      await addEndpoint(record.sql),
      await addEndpoint(record.sql, { tenant: 'another' }),
    ]
    const ids = await end(3)
    await relay().runOnce()
    expect(await delivered(one.endpoint.id)).toEqual(ids)
    expect(await delivered(two.endpoint.id)).toEqual(ids)
    expect(await record.sql`select from deliveries where endpoint_id = ${foreign.endpoint.id}`).toHaveLength(0)
    expect(await readEndpoint(record.sql, 'another', foreign.endpoint.id)).toMatchObject({ cursor: 3 })
    expect(await relay().runOnce()).toBe(false)
    expect(await record.sql`select from deliveries`).toHaveLength(6)
  })

  it('sends tickets for jobs that carry the body, are internal and have no events', async () => {
    const { endpoint } = await addEndpoint(record.sql)
    const [id] = await end(1, { tags: ['x'] })
    await relay().runOnce()
    const [delivery] = await listDeliveries(record.sql, 'default', {}, 10)
    const job = await record.job(delivery!.id)
    expect(job).toMatchObject({
      type: 'webhook.deliver',
      queue: 'webhooks',
      internal: true,
      status: 'queued',
      maxAttempts: 10,
    })
    expect(job.input).toMatchObject({ endpointId: endpoint.id, eventId: id, position: 1 })
    const body = JSON.parse((job.input as { body: string }).body) as unknown
    expect(body).toMatchObject({
      type: 'job.completed',
      version: 1,
      data: { id, type: 'echo', tags: ['x'], sequence: 1 },
    })
    const sent = await record.sql<{ ids: string[] }[]>`select data->'ids' as ids from bullmq.job where data ? 'ids'`
    expect(sent.flatMap(({ ids }) => ids)).toContain(delivery!.id)
    expect(await record.sql`select job_ids from arrivals where queue = 'webhooks'`).toEqual([
      { jobIds: [delivery!.id] },
    ])
  })

  it('lets through what an endpoint asks for by event, type and tag', async () => {
    const byEvent = await addEndpoint(record.sql, { events: ['job.failed'] })
    const byType = await addEndpoint(record.sql, { jobTypes: ['wanted'] })
    const byTag = await addEndpoint(record.sql, { tags: ['a', 'b'] })
    const [typed] = await end(1, { type: 'wanted' })
    const [tagged] = await end(1, { tags: ['b', 'c'] })
    const failed = await record.addJob()
    await record.end(failed, 'failed', 0)
    await record.place()
    await relay().runOnce()
    expect(await delivered(byEvent.endpoint.id)).toEqual([failed])
    expect(await delivered(byType.endpoint.id)).toEqual([typed])
    expect(await delivered(byTag.endpoint.id)).toEqual([tagged])
  })

  it('passes the events of other tenants quickly', async () => {
    const { endpoint } = await addEndpoint(record.sql)
    await end(30, { tenant: 'another' })
    const ids = await end(2)
    await relay().runOnce()
    expect(await delivered(endpoint.id)).toEqual(ids)
    expect(await readEndpoint(record.sql, 'default', endpoint.id)).toMatchObject({ cursor: 32 })
  })

  it('tells outputs only to those who ask for them', async () => {
    const thin = await addEndpoint(record.sql)
    const thick = await addEndpoint(record.sql, { includeOutput: true })
    const id = await record.addJob()
    await record.end(id, 'completed', 0)
    await record.sql`update jobs set output = '{"n": 12345678901234567890}' where id = ${id}`
    await record.place()
    await relay().runOnce()
    const bodyFor = async (endpoint: string) => {
      const [delivery] = await listDeliveries(record.sql, 'default', { endpoint }, 1)
      return ((await record.job(delivery!.id)).input as { body: string }).body
    }
    expect(await bodyFor(thin.endpoint.id)).not.toContain('output')
    expect(await bodyFor(thick.endpoint.id)).toMatch(/"output":\{"n": 12345678901234567890\}\}\}$/)
  })

  it('makes no more deliveries than may be in flight, and goes on as they end or wait for another attempt', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 2 })
    const ids = await end(5)
    const one = relay()
    expect(await one.runOnce()).toBeGreaterThan(0)
    expect(await one.runOnce()).toBeGreaterThan(0)
    expect(await delivered(endpoint.id)).toEqual(ids.slice(0, 2))
    await finish()
    await one.runOnce()
    await finish('retrying')
    expect(await one.runOnce()).toBe(false)
    expect(await delivered(endpoint.id)).toEqual(ids)
  })

  it('gives an endpoint more as it takes more, and few again when it has failed', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 35 })
    await end(90)
    const one = relay()
    const made: number[] = []
    for (let round = 0; round < 4; round++) {
      const before = (await delivered(endpoint.id)).length
      await one.runOnce()
      made.push((await delivered(endpoint.id)).length - before)
      await finish()
    }
    expect(made).toEqual([10, 20, 35, 25])
    await end(90)
    await record.sql`update endpoints set failures = 5, open_until = now()`
    await one.runOnce()
    await finish()
    await record.sql`update endpoints set failures = 0, open_until = null`
    await one.runOnce()
    expect(await delivered(endpoint.id)).toHaveLength(90 + 1 + 11)
  })

  it('gives an endpoint half as many when one has to be repeated, but one at least', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 35 })
    await end(60)
    const one = relay()
    const made: number[] = []
    for (const outcome of [
      'completed',
      'retrying',
      'retrying',
      'retrying',
      'retrying',
      'retrying',
      'completed',
    ] as const) {
      const before = (await delivered(endpoint.id)).length
      await one.runOnce()
      made.push((await delivered(endpoint.id)).length - before)
      await finish(outcome)
    }
    expect(made).toEqual([10, 20, 10, 5, 2, 1, 1])
  })

  it('makes no more deliveries while those that it has made are held up by trouble of the platform', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 2 })
    const ids = await end(5)
    const one = relay()
    await one.runOnce()
    await finish('retrying')
    await record.sql`update jobs set error = ${JSON.stringify({ reason: heldUp })}::text::json where status = 'retrying'`
    await one.runOnce()
    await relay().runOnce()
    expect(await delivered(endpoint.id)).toEqual(ids.slice(0, 2))
    await record.sql`update jobs set error = null where status = 'retrying'`
    await one.runOnce()
    expect(await delivered(endpoint.id)).toEqual(ids.slice(0, 4))
  })

  it('leaves slots for an endpoint that comes late, however many receivers are slow', async () => {
    const worker = await record.addWorker()
    await record.sql`update workers set queues = '["webhooks"]', concurrency = 2 where id = ${worker}`
    onTestFinished(async () => void (await record.sql`delete from workers`))
    for (let each = 0; each < 4; each++) await addEndpoint(record.sql, { maxInFlight: 50 })
    await end(20)
    const one = relay()
    for (let round = 0; round < 5; round++) await one.runOnce()
    expect(await record.sql`select from deliveries`).toHaveLength(8) // of 20 slots half, divided by 4
    const late = await addEndpoint(record.sql, { maxInFlight: 50 })
    await end(20)
    for (let round = 0; round < 5; round++) await one.runOnce()
    expect(await delivered(late.endpoint.id)).toHaveLength(2)
    expect(await record.sql`select from deliveries`).toHaveLength(10)
  })

  it('recalls what another relay has made', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 2 })
    await end(5)
    await relay().runOnce()
    const another = relay()
    await another.runOnce()
    expect(await delivered(endpoint.id)).toHaveLength(2)
    another.rest()
    await finish()
    await another.runOnce()
    expect(await delivered(endpoint.id)).toHaveLength(4)
  })

  it('makes each delivery once, however many relay at the same time', async () => {
    const endpoints = [
      await addEndpoint(record.sql, { maxInFlight: 100 }),
      await addEndpoint(record.sql, { maxInFlight: 100, jobTypes: ['echo'] }),
    ]
    const ids = await end(30)
    for (let round = 0; round < 3; round++) {
      await Promise.all(Array.from({ length: 4 }, () => relay().runOnce()))
      await finish()
    }
    for (const { endpoint } of endpoints) expect(await delivered(endpoint.id)).toEqual(ids)
  })

  it('leaves endpoints alone that are disabled, and those whose circuit is open, unless by a clock that was set back', async () => {
    const disabled = await addEndpoint(record.sql)
    const open = await addEndpoint(record.sql)
    await disableEndpoint(record.sql, 'default', disabled.endpoint.id)
    await record.sql`update endpoints set failures = 5, open_until = now() + interval '1 hour' where id = ${open.endpoint.id}`
    const ids = await end(3)
    expect(await relay().runOnce()).toBe(false)
    await record.sql`update endpoints set open_until = now() + interval '10 years' where id = ${open.endpoint.id}`
    const one = relay()
    await one.runOnce()
    await one.runOnce()
    expect(await delivered(open.endpoint.id)).toEqual(ids.slice(0, 1))
    expect(await delivered(disabled.endpoint.id)).toEqual([])
  })

  it('goes on from now when an endpoint is enabled again, and repeats what it has missed when asked to', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 100 })
    await disableEndpoint(record.sql, 'default', endpoint.id)
    const missed = await end(3)
    await enableEndpoint(record.sql, 'default', endpoint.id)
    const [next] = await end(1)
    await relay().runOnce()
    expect(await delivered(endpoint.id)).toEqual([next])
    await startReplay(record.sql, 'default', endpoint.id, { after: 0, perSecond: 1_000 })
    await record.sql`update endpoints set replayed_at = now() - interval '1 second'`
    await relay().runOnce()
    expect(await delivered(endpoint.id)).toEqual([next, ...missed, next])
    expect(await readEndpoint(record.sql, 'default', endpoint.id)).toMatchObject({
      replayCursor: null,
      replayUntil: null,
    })
    expect(await relay().runOnce()).toBe(false)
  })

  it('replays at its rate', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 100 })
    await end(10)
    await relay().runOnce()
    await finish()
    await startReplay(record.sql, 'default', endpoint.id, { after: 0, perSecond: 4 })
    await record.sql`update endpoints set replayed_at = now() - interval '510 milliseconds'`
    const one = relay()
    expect(await one.runOnce()).toBeGreaterThan(0)
    expect((await readEndpoint(record.sql, 'default', endpoint.id))?.replayCursor).toBe(2)
    await one.runOnce()
    expect((await readEndpoint(record.sql, 'default', endpoint.id))?.replayCursor).toBe(2)
    await record.sql`update endpoints set replayed_at = now() - interval '1 hour'`
    await one.runOnce()
    expect((await readEndpoint(record.sql, 'default', endpoint.id))?.replayCursor).toBe(6)
  })

  it('passes quickly what a replay leaves out', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 100, jobTypes: ['wanted'] })
    await end(450)
    const wanted = await end(1, { type: 'wanted' })
    await relay().runOnce()
    await record.sql`update endpoints set cursor = 451`
    await record.sql`truncate deliveries`
    await startReplay(record.sql, 'default', endpoint.id, { after: 0, perSecond: 1 })
    await record.sql`update endpoints set replayed_at = now() - interval '1 second'`
    const one = relay()
    expect([await one.runOnce(), await one.runOnce()]).toEqual([true, true])
    expect(await one.runOnce()).toBe(false)
    expect(await delivered(endpoint.id)).toEqual(wanted)
  })

  it('replays to an endpoint that takes one at a time and always has something new', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 1 })
    await end(100)
    await record.sql`update endpoints set cursor = 40`
    await startReplay(record.sql, 'default', endpoint.id, { after: 0, perSecond: 1_000 })
    const one = relay()
    const courses = async () => {
      await one.runOnce()
      await finish()
      const now = await readEndpoint(record.sql, 'default', endpoint.id)
      return now!.cursor > 40 && now!.replayCursor! > 0
    }
    await expect.poll(courses, { interval: 5, timeout: 5_000 }).toBe(true)
    expect((await readEndpoint(record.sql, 'default', endpoint.id))?.cursor).toBeLessThan(100)
  })

  it('sets an event aside that cannot be stored as a delivery, and delivers its neighbours', async () => {
    const { endpoint } = await addEndpoint(record.sql, { maxInFlight: 100 })
    const healthy = await addEndpoint(record.sql, { maxInFlight: 100 })
    const ids = await end(7)
    await record.sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '22003'; end $$;
      create trigger refuse before insert on jobs for each row
      when (new.input->>'eventId' = '${ids[4]}' and new.input->>'endpointId' = '${endpoint.id}' and new.input->>'body' is not null)
      execute function refuse()`)
    onTestFinished(async () => void (await record.sql.unsafe('drop function refuse cascade')))
    await relay().runOnce()
    expect(await delivered(endpoint.id)).toEqual(ids)
    expect(await delivered(healthy.endpoint.id)).toEqual(ids)
    const failed = await listDeliveries(record.sql, 'default', { status: 'failed' }, 10)
    expect(failed).toMatchObject([
      { eventId: ids[4], endpointId: endpoint.id, error: { reason: 'not_deliverable', message: 'no' } },
    ])
    expect(await readEndpoint(record.sql, 'default', endpoint.id)).toMatchObject({ cursor: 7 })
    expect(await record.sql`select status, events, jobs from endings where queue = 'webhooks'`).toEqual([
      { status: 'failed', events: 0, jobs: 1 },
    ])
    const again = newId()
    expect(await redeliver(record.sql, 'default', [{ of: failed[0]!.id, id: again }])).toMatchObject([
      { id: again, queue: 'webhooks', type: 'webhook.deliver' },
    ])
    expect(await readDelivery(record.sql, 'default', again)).toMatchObject({
      eventId: ids[4],
      status: 'queued',
      redriveOf: failed[0]!.id,
    })
  })

  it('stores the deliveries of many endpoints in several statements, each when it is full', async () => {
    const endpoints = await Promise.all(Array.from({ length: 60 }, () => addEndpoint(record.sql, { maxInFlight: 10 })))
    const ids = await end(10)
    const statements: string[] = []
    const watching = new Proxy(record.sql, {
      apply: (target, self, words) => {
        const text = ((words[0] as string[])[0] ?? '').trim()
        if (/^with (step|placed)/.test(text)) statements.push(text.startsWith('with step') ? 'store' : 'read')
        return Reflect.apply(target, self, words) as unknown
      },
    })
    expect(await relay(watching).runOnce()).toBe(false)
    expect(statements).toEqual(['read', 'store', 'read', 'store'])
    for (const { endpoint } of endpoints) expect(await delivered(endpoint.id)).toEqual(ids)
  })

  it('goes on with the other endpoints while one cannot be served at all', async () => {
    const broken = await addEndpoint(record.sql, { maxInFlight: 600 })
    const healthy = await addEndpoint(record.sql, { maxInFlight: 600 })
    const ids = await end(2)
    await record.sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '22003'; end $$;
      create trigger refuse before insert on deliveries for each row when (new.endpoint_id = '${broken.endpoint.id}') execute function refuse()`)
    const drop = async () => void (await record.sql.unsafe('drop function if exists refuse cascade'))
    onTestFinished(drop)
    const one = relay()
    expect(await one.runOnce()).toBeGreaterThan(0)
    expect(await delivered(healthy.endpoint.id)).toEqual(ids)
    expect(await readEndpoint(record.sql, 'default', broken.endpoint.id)).toMatchObject({ cursor: 0 })
    await drop()
    expect(await one.runOnce()).toBe(false)
    expect(await delivered(broken.endpoint.id)).toEqual(ids)
  })

  it('costs one statement a round while there is nobody to tell', async () => {
    await end(3)
    const db = connect(record.url, { applicationName: 'counted', max: 1 })
    onTestFinished(() => db.close())
    let statements = 0
    const counting = new Proxy(db.sql, {
      apply: (target, self, words) => {
        if (/^\s*select/.test((words[0] as string[])[0] ?? '')) statements++
        return Reflect.apply(target, self, words) as unknown
      },
    })
    await relay(counting).runOnce()
    expect(statements).toBe(1)
  })
})

describe('Redelivering', () => {
  it('leaves out what has not ended, is another tenant’s, or whose endpoint is gone', async () => {
    const [one, gone] = [await addEndpoint(record.sql), await addEndpoint(record.sql)]
    await end(1)
    await relay().runOnce()
    const repeat = async (tenant = 'default') => {
      const all = await record.sql<{ of: string }[]>`select job_id as of from deliveries where position is not null`
      return redeliver(
        record.sql,
        tenant,
        all.map(({ of }) => ({ of, id: newId() })),
      )
    }
    expect(await repeat()).toEqual([])
    await finish()
    await record.sql`delete from endpoints where id = ${gone.endpoint.id}`
    expect(await repeat('another')).toEqual([])
    expect(await repeat()).toHaveLength(1)
    expect(await delivered(one.endpoint.id)).toHaveLength(2)
  })
})

describe('A step', () => {
  it('is halved until each part has one delivery, and the parts follow each other to the same end', () => {
    const step = (deliveries: number, from: number): Step => ({
      endpointId: 'e',
      from,
      to: from + deliveries + 3,
      deliveries: Array.from({ length: deliveries }, (_, n) => ({
        id: `${n}`,
        eventId: `${n}`,
        eventType: 'job.completed',
        position: from + n + 1,
        input: '{}',
      })),
    })
    const parts = (steps: Step[]): Step[] => {
      const halves = halve(steps)
      return halves ? halves.flatMap(parts) : steps
    }
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 1_000 }), (deliveries, from) => {
        const cut = parts([step(deliveries, from)])
        expect(cut.map((part) => part.deliveries.length)).toEqual(Array.from({ length: deliveries }, () => 1))
        expect(cut[0]?.from).toBe(from)
        expect(cut.at(-1)?.to).toBe(from + deliveries + 3)
        for (const [n, part] of cut.entries()) if (n > 0) expect(part.from).toBe(cut[n - 1]?.to)
      }),
    )
  })

  it('shares the room between what is new and what is replayed', () => {
    const endpoint = { cursor: 5, head: 9, replayCursor: null, replayUntil: null, replayPerSecond: null }
    const at = (changes: object) => ({ ...endpoint, sinceReplayMs: 500, ...changes }) as EndpointBehind
    const replay = { replayCursor: 1, replayUntil: 5, replayPerSecond: 100 }
    const slow = { ...replay, replayPerSecond: 4 }
    expect(legOf(at({}), 'cursor', 11, 1)).toEqual({ from: 5, end: 9, room: 11 })
    expect(legOf(at({ cursor: 9 }), 'cursor', 10, 0)).toBeUndefined()
    expect(legOf(at({}), 'replay', 10, 0)).toBeUndefined()
    expect(legOf(at(replay), 'cursor', 11, 0)).toEqual({ from: 5, end: 9, room: 6 })
    expect(legOf(at(replay), 'cursor', 11, 1)).toEqual({ from: 5, end: 9, room: 5 })
    expect(legOf(at(replay), 'replay', 11, 0)).toEqual({ from: 1, end: 5, room: 11 })
    expect(legOf(at(slow), 'cursor', 11, 0)?.room).toBe(9)
    expect(legOf(at(slow), 'replay', 11, 0)).toEqual({ from: 1, end: 5, room: 2 })
    expect(legOf(at({ ...slow, sinceReplayMs: 60_000 }), 'replay', 11, 0)?.room).toBe(4)
  })

  it('is taken on a replay though the clock was set back since the last one', () => {
    const endpoint = {
      cursor: 9,
      head: 9,
      replayCursor: 1,
      replayUntil: 5,
      replayPerSecond: 4,
      sinceReplayMs: -3_600_000,
    }
    expect(legOf(endpoint as EndpointBehind, 'replay', 11, 0)?.room).toBe(4)
  })
})
