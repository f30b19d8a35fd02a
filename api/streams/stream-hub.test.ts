import type { StreamEvent, StreamPage } from '@jobyard/db/stream'
import { usualEvents } from '@jobyard/db/subscription'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { StreamMessage } from './message.ts'
import type { StreamSink } from './sink.ts'
import { StreamHub } from './stream-hub.ts'
import { StreamReader } from './stream-reader.ts'
import { Turns } from './turns.ts'

const tenants = ['one', 'two']

const tenantOf = (position: number) => tenants[position % tenants.length] ?? ''

function eventAt(position: number, id: string): StreamEvent {
  return {
    position,
    id,
    tenant: tenantOf(position),
    type: 'job.completed',
    occurredAt: new Date(0),
    sequence: 1,
    jobId: id,
    job: null,
    data: null,
  }
}

/** A stream in memory, whose pages take as long to read as the scheduler likes. */
function openLog(scheduler: fc.Scheduler, pageSize: number) {
  const ids: string[] = []
  let [tail, timeline] = [0, 1]
  const readPage = async (after: number, tenant?: string): Promise<StreamPage> => {
    await scheduler.schedule(Promise.resolve(), 'asked')
    const head = ids.length
    const through = Math.max(Math.min(after + pageSize, head), after)
    const events = ids
      .map((id, index) => eventAt(index + 1, id))
      .filter(({ position }) => position > Math.max(after, tail) && position <= through)
      .filter((event) => tenant === undefined || event.tenant === tenant)
    const page = { events, through, head, tail, timeline }
    await scheduler.schedule(Promise.resolve(), 'answered')
    return page
  }
  return {
    ids,
    readPage,
    head: () => ids.length,
    timeline: () => timeline,
    grow: (by: number) => {
      for (let added = 0; added < by; added++) ids.push(`${ids.length + 1} of ${timeline}`)
    },
    prune: (upTo: number) => {
      tail = Math.max(tail, Math.min(upTo, ids.length))
    },
    /** A standby takes over that lacks the newest events. */
    failOver: (lost: number) => {
      ids.length = Math.max(ids.length - lost, tail)
      timeline++
    },
  }
}

/** A client that takes everything at once. */
function openSink() {
  const got: StreamMessage[] = []
  const sink: StreamSink = {
    waitingBytes: 0,
    open: () => {},
    send: (messages) => void got.push(...messages),
    beat: () => {},
    end: () => {},
  }
  return { got, sink }
}

const limits = { maxWaitingBytes: 1, pageWithinMs: 1_000, beatEveryMs: 1_000_000 }

describe('Readers', () => {
  it('get every event of their tenant once and in order, or are told of those that are deleted or lost, however reads are interleaved', async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ kind: fc.constant('pass' as const), amount: fc.integer({ min: 1, max: 3 }) }),
      },
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('grow' as const), amount: fc.integer({ min: 1, max: 5 }) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const), amount: fc.nat(40) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), amount: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail over' as const), amount: fc.nat(4) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('prune' as const), amount: fc.nat(60) }) },
    )
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(step, { minLength: 40, maxLength: 120, size: 'max' }),
        fc.integer({ min: 3, max: 30 }),
        async (scheduler, steps, pageSize) => {
          const log = openLog(scheduler, pageSize)
          const hub = new StreamHub({ readPage: log.readPage, pollMs: 1_000_000, maxRecent: 4, onFirst: () => {} })
          const readers: { reader: StreamReader; got: StreamMessage[]; from: number; tenant: string; left: boolean }[] =
            []
          const begin = (from: number) => {
            const tenant = tenants[readers.length % tenants.length] ?? ''
            const { got, sink } = openSink()
            const reader = new StreamReader({
              filter: { tenant, events: usualEvents, jobTypes: [], tags: [] },
              beginning: { place: { position: from, timeline: log.timeline() }, isCaughtUp: from === log.head() },
              live: hub,
              limits,
              readPage: (after) => log.readPage(after, tenant),
            })
            void reader.start(sink)
            readers.push({ reader, got, from, tenant, left: false })
          }
          const leave = (index: number) => {
            const leaver = readers[index % Math.max(readers.length, 1)]
            leaver?.reader.close()
            if (leaver) leaver.left = true
          }
          for (const { kind, amount } of steps) {
            if (kind === 'grow') log.grow(amount)
            if (kind === 'prune') log.prune(amount)
            if (kind === 'fail over') log.failOver(amount)
            if (kind === 'read') begin(Math.max(log.head() - amount, 0))
            if (kind === 'leave') leave(amount)
            if (kind === 'pass') for (let n = 0; n < amount && scheduler.count() > 0; n++) await scheduler.waitOne()
            hub.wake()
          }
          const isAtHead = ({ place }: StreamReader) =>
            place.position === log.head() && place.timeline === log.timeline()
          const isBehind = () => readers.some(({ reader, left }) => !left && !isAtHead(reader))
          for (let turn = 0; turn < 5_000 && isBehind(); turn++) {
            if (scheduler.count() > 0) await scheduler.waitOne()
            else await new Promise(setImmediate)
            hub.wake()
          }
          expect(isBehind()).toBe(false)
          for (const { reader, got, from, tenant, left } of readers) {
            reader.close()
            if (!left) expect(toldSince(got, from).told).toEqual(wantedOf(log.ids, toldSince(got, from), tenant))
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

it('The reader of one job is to begin anew when a standby has taken over: that the job ends may stand where it has read', async () => {
  const { got, sink } = openSink()
  const reader = new StreamReader({
    filter: { tenant: 'one', events: usualEvents, jobTypes: [], tags: [], jobId: 'job' },
    beginning: { place: { position: 5, timeline: 1 }, isCaughtUp: true },
    live: { join: () => true, leave: () => {} },
    limits,
    readPage: async () => undefined,
  })
  await reader.start(sink)
  reader.take({ events: [], through: 6, tail: 0, timeline: 2, rewound: 5 })
  expect(got).toMatchObject([
    { id: '0-2', type: 'reset' },
    { id: '0-2', type: 'end', data: '{"reason":"failover","position":0}' },
  ])
})

interface Told {
  readonly told: string[]
  /** Where it has begun, or was last told to begin again. */
  from: number
  readonly missed: { missedFrom: number; missedThrough: number }[]
}

/** What a reader knows who believes what it was told: events by their ids, those that are missing, and that it is to begin again. */
function toldSince(got: StreamMessage[], from: number): Told {
  return got.reduce<Told>(
    (known, { id, type, data }) => {
      const { reason, ...missed } = JSON.parse(data)
      if (type !== 'reset') return { ...known, told: [...known.told, JSON.parse(data).data.id] }
      if (reason === 'failover') return { told: [], from: Number(id.split('-')[0]), missed: [] }
      return { ...known, missed: [...known.missed, missed] }
    },
    { told: [], from, missed: [] },
  )
}

function wantedOf(ids: string[], { from, missed }: Told, tenant: string): string[] {
  const isMissed = (position: number) =>
    missed.some(({ missedFrom, missedThrough }) => missedFrom <= position && position <= missedThrough)
  return ids.filter((_, index) => index + 1 > from && tenantOf(index + 1) === tenant && !isMissed(index + 1))
}

it('Turns are taken by so many at once, in order, also after one that failed', async () => {
  const turns = new Turns(2)
  const log: string[] = []
  const act = (name: string, fails = false) =>
    turns.take(async () => {
      log.push(`${name} begins`)
      await new Promise(setImmediate)
      log.push(`${name} ends`)
      if (fails) throw new Error(name)
    })
  await Promise.allSettled([act('a', true), act('b'), act('c'), act('d')])
  expect(log).toEqual(['a begins', 'b begins', 'a ends', 'c begins', 'b ends', 'd begins', 'c ends', 'd ends'])
})

it('Those who wait for the same turn share what comes of it, and who comes once it has begun does not', async () => {
  const turns = new Turns(1)
  const gate = Promise.withResolvers<void>()
  let read = 0
  const act = async () => {
    const result = ++read
    await gate.promise
    return result
  }
  const first = turns.share('a', act)
  await expect.poll(() => read).toBe(1)
  const later = [turns.share('a', act), turns.share('a', act), turns.share('b', act)]
  gate.resolve()
  expect(await Promise.all([first, ...later])).toEqual([1, 2, 2, 3])
  expect(await turns.share('a', act)).toBe(4)
})
