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

function eventAt(position: number): StreamEvent {
  const tenant = tenants[position % tenants.length] ?? ''
  const occurredAt = new Date(0)
  return {
    position,
    id: String(position),
    tenant,
    type: 'job.completed',
    occurredAt,
    sequence: 1,
    jobId: String(position),
    job: null,
    data: null,
  }
}

/** A stream in memory, whose pages take as long to read as the scheduler likes. */
function openLog(scheduler: fc.Scheduler, pageSize: number) {
  let head = 0
  let tail = 0
  const readPage = async (after: number, tenant?: string): Promise<StreamPage> => {
    await scheduler.schedule(Promise.resolve(), 'asked')
    const through = Math.max(Math.min(after + pageSize, head), after)
    const positions = Array.from({ length: through - after }, (_, index) => after + 1 + index)
    const events = positions.filter((position) => position > tail).map(eventAt)
    const page = {
      events: events.filter((event) => tenant === undefined || event.tenant === tenant),
      through,
      head,
      tail,
    }
    await scheduler.schedule(Promise.resolve(), 'answered')
    return page
  }
  return {
    readPage,
    get head() {
      return head
    },
    grow: (by: number) => void (head += by),
    prune: (upTo: number) => void (tail = Math.max(tail, Math.min(upTo, head))),
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
  it('get every event of their tenant once and in order, or are told of those that are deleted, however reads are interleaved', async () => {
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
              beginning: { position: from, isCaughtUp: from === log.head },
              live: hub,
              limits,
              readPage: log.readPage,
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
            if (kind === 'read') begin(Math.max(log.head - amount, 0))
            if (kind === 'leave') leave(amount)
            if (kind === 'pass') for (let n = 0; n < amount && scheduler.count() > 0; n++) await scheduler.waitOne()
            hub.wake()
          }
          const isBehind = () => readers.some(({ reader, left }) => !left && reader.position < log.head)
          for (let turn = 0; turn < 5_000 && isBehind(); turn++) {
            if (scheduler.count() > 0) await scheduler.waitOne()
            else await new Promise(setImmediate)
            hub.wake()
          }
          for (const { reader, got, from, tenant } of readers) {
            reader.close()
            expect(told(got)).toEqual(wanted(got, from, reader.position, tenant))
          }
          expect(isBehind()).toBe(false)
        },
      ),
      { numRuns: 400 },
    )
  })
})

/** Positions that a reader was given. */
function told(got: StreamMessage[]): number[] {
  return got.filter(({ type }) => type !== 'reset').map(({ position }) => position)
}

/** Positions that it should have been given: all of its tenant, without those that it was told are missing. */
function wanted(got: StreamMessage[], from: number, to: number, tenant: string): number[] {
  const missed = got
    .filter(({ type }) => type === 'reset')
    .map(({ data }) => JSON.parse(data) as { missedFrom: number; missedThrough: number })
  return Array.from({ length: to - from }, (_, index) => from + 1 + index)
    .filter((position) => eventAt(position).tenant === tenant)
    .filter((position) => !missed.some((gap) => gap.missedFrom <= position && position <= gap.missedThrough))
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
