import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Carrier } from './carrier.ts'
import { idsPerTicket, packTickets, sendDeadlineMs, TicketSender } from './tickets.ts'
import { sweepMarginMs } from '@jobyard/db/sweep'

const job = fc.record({
  id: fc.uuid(),
  queue: fc.constantFrom('a', 'b'),
  priority: fc.integer({ min: 0, max: 9 }),
  crashes: fc.integer({ min: 0, max: 2 }),
})

describe('Packing', () => {
  it('gives every job exactly one ticket of its queue and priority, suspects none, and those that crashed once one alone', () => {
    fc.assert(
      fc.property(fc.uniqueArray(job, { selector: ({ id }) => id, maxLength: 100 }), (jobs) => {
        const byId = new Map(jobs.map((each) => [each.id, each]))
        const packed: string[] = []
        for (const [queue, tickets] of packTickets(jobs)) {
          for (const { data, priority } of tickets) {
            const ids = 'ids' in data ? data.ids : []
            expect(ids.length).toBeGreaterThan(0)
            expect(ids.length).toBeLessThanOrEqual(idsPerTicket)
            for (const id of ids) expect(byId.get(id)).toMatchObject({ queue, priority })
            if (ids.some((id) => byId.get(id)?.crashes === 1)) expect(ids).toHaveLength(1)
            packed.push(...ids)
          }
        }
        expect(packed.toSorted()).toEqual(
          jobs
            .filter(({ crashes }) => crashes < 2)
            .map(({ id }) => id)
            .toSorted(),
        )
      }),
    )
  })

  it('never uses a ticket id twice', () => {
    const jobs = Array.from({ length: 20 }, (_, n) => ({ id: String(n), queue: 'a', priority: 0, crashes: 1 }))
    const ids = [...packTickets(jobs), ...packTickets(jobs)].flatMap(([, tickets]) => tickets.map(({ id }) => id))
    expect(new Set(ids).size).toBe(40)
  })
})

describe('Sending', () => {
  it('has a deadline below the margin of the sweep', () => {
    expect(sendDeadlineMs).toBeLessThan(sweepMarginMs)
  })

  it('never throws, and tells what may be lost', async () => {
    const lost: [string, number][] = []
    const broken = { add: () => Promise.reject(new Error('down')) } as unknown as Carrier
    const sender = new TicketSender(broken, (error, tickets) => lost.push([error.message, tickets]))
    await sender.send([{ id: '1', queue: 'a', priority: 0, crashes: 0 }])
    await sender.send([])
    await sender.passOn('a', [])
    expect(lost).toEqual([['down', 1]])
  })

  it('gives up at once while too many sends are unanswered', async () => {
    const lost: string[] = []
    const answers: (() => void)[] = []
    const silent = { add: () => new Promise<void>((resolve) => answers.push(resolve)) } as unknown as Carrier
    const sender = new TicketSender(silent, (error) => lost.push(error.message))
    const sends = Array.from({ length: 300 }, () => sender.passOn('a', ['1']))
    await Promise.all(sends.slice(256))
    expect(lost).toHaveLength(44)
    expect(lost[0]).toContain('has not answered 256 sends')
    for (const answer of answers) answer()
    await Promise.all(sends)
  })
})
