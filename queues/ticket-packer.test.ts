import type { Ticketable } from '@jobyard/db/requeue'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineJob } from './define-job.ts'
import { TicketPacker, type PackedTickets } from './ticket-packer.ts'

const shapes = { description: 'test', input: z.unknown(), output: z.unknown() }
const contracts = [
  defineJob({ type: 'ordinary', ...shapes }),
  defineJob({ type: 'pairs', ...shapes, batch: { size: 2 } }),
  defineJob({ type: 'dozens', ...shapes, batch: { size: 12 } }),
  defineJob({ type: 'patient', ...shapes, batch: { size: 5, maxWaitMs: 100 } }),
]
const idsPerTicket = 8
const sizes = new Map<string, number>(contracts.map(({ type, batch }) => [type, batch?.size ?? idsPerTicket]))

const job = fc.record({
  id: fc.uuid(),
  queue: fc.constantFrom('a', 'b'),
  type: fc.constantFrom(...sizes.keys(), 'unknown'),
  priority: fc.integer({ min: 0, max: 1 }),
  crashes: fc.integer({ min: 0, max: 2 }),
  alone: fc.boolean(),
})
const jobs = fc.uniqueArray(job, { selector: ({ id }) => id, maxLength: 100 })

let made = 0
const ready = (count: number, more: Partial<Ticketable> = {}): Ticketable[] =>
  Array.from({ length: count }, () => ({
    id: String(made++),
    queue: 'a',
    type: 'patient',
    priority: 0,
    crashes: 0,
    alone: false,
    ...more,
  }))
const packer = () => new TicketPacker(contracts, idsPerTicket)
const contents = (packed: PackedTickets) =>
  [...packed.values()].flat().map(({ data }) => ('ids' in data ? data.ids.length : 0))

describe('Packing', () => {
  it('gives every job that is no suspect exactly one ticket of its lane, batched types unmixed, those alone alone', () => {
    fc.assert(
      fc.property(fc.array(jobs, { maxLength: 5 }), (rounds) => {
        const given = new Map(rounds.flat().map((each) => [each.id, each]))
        const packing = packer()
        const rest = [...given.values()]
        const packed = rounds.map((round, now) => packing.pack(rest.splice(0, round.length), now))
        const found: string[] = []
        for (const [queue, tickets] of [...packed, packing.take(Number.POSITIVE_INFINITY)].flatMap((each) => [
          ...each,
        ])) {
          for (const { data, priority } of tickets) {
            const ids = 'ids' in data ? data.ids : []
            const members = ids.map((id) => given.get(id)!)
            expect(members.length).toBeGreaterThan(0)
            for (const member of members) expect(member).toMatchObject({ queue, priority })
            const limit = Math.min(...members.map(({ type, alone }) => (alone ? 1 : (sizes.get(type) ?? idsPerTicket))))
            expect(members.length).toBeLessThanOrEqual(limit)
            const batched = members.some(({ type }) => contracts.some((each) => each.type === type && each.batch))
            if (batched) expect(new Set(members.map(({ type }) => type)).size).toBe(1)
            if (members.length > 1) expect('whole' in data).toBe(batched)
            found.push(...ids)
          }
        }
        const wanted = [...given.values()].filter(({ crashes }) => crashes < 2)
        expect(found.toSorted()).toEqual(wanted.map(({ id }) => id).toSorted())
      }),
    )
  })

  it('spreads few ordinary jobs over workers, and packs a steady stream of them', () => {
    const packing = packer()
    const pair = (now: number) => contents(packing.pack(ready(2, { type: 'ordinary' }), now))
    expect(pair(0)).toEqual([1, 1])
    let now = 0
    while (now < 500) packing.pack(ready(2, { type: 'ordinary' }), (now += 2))
    expect(pair(now)).toEqual([2])
    expect(contents(packing.pack(ready(8, { type: 'ordinary', queue: 'b' }), now))).toEqual(Array(8).fill(1))
    expect(pair(now + 1_000)).toEqual([1, 1])
  })

  it('never uses a ticket id twice', () => {
    const alone = ready(20, { alone: true })
    const ids = [...packer().pack(alone, 0), ...packer().pack(alone, 0)].flatMap(([, tickets]) =>
      tickets.map(({ id }) => id),
    )
    expect(new Set(ids).size).toBe(40)
  })
})

describe('A type that may wait', () => {
  it('waits for more jobs until its ticket is full', () => {
    const packing = packer()
    expect(contents(packing.pack(ready(3), 0))).toEqual([])
    expect(contents(packing.pack(ready(3), 50))).toEqual([5])
    expect(packing.dueAt).toBe(150)
    expect(contents(packing.pack(ready(4), 60))).toEqual([5])
    expect(packing.dueAt).toBeUndefined()
  })

  it('waits no longer than it may, whatever comes', () => {
    const packing = packer()
    packing.pack(ready(1), 0)
    packing.pack(ready(1, { priority: 1 }), 40)
    expect(packing.dueAt).toBe(100)
    expect(contents(packing.pack(ready(1), 99))).toEqual([])
    expect(contents(packing.take(100))).toEqual([2])
    expect(packing.dueAt).toBe(140)
    expect(contents(packing.pack(ready(1, { type: 'ordinary' }), 200))).toEqual([1, 1])
  })

  it('does not keep jobs that travel alone, nor those of other types', () => {
    const packing = packer()
    expect(contents(packing.pack([...ready(1, { alone: true }), ...ready(1, { type: 'pairs' })], 0))).toEqual([1, 1])
  })
})
