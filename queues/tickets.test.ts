import { sweepMarginMs } from '@jobyard/db/sweep'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { z } from 'zod'
import type { Carrier, TicketToSend } from './carrier.ts'
import { defineJob, longestBatchWaitMs } from './define-job.ts'
import { sendDeadlineMs, TicketSender } from './tickets.ts'

const shapes = { description: 'test', input: z.unknown(), output: z.unknown() }
const patient = defineJob({ type: 'patient', ...shapes, batch: { size: 3, maxWaitMs: 100 } })
const quick = defineJob({ type: 'quick', ...shapes, batch: { size: 3, maxWaitMs: 10 } })
const contracts = [patient, quick]
const job = (id: string, type = 'any') => ({ id, queue: 'a', type, priority: 0, crashes: 0, alone: false })

it('A send has a deadline that leaves a ticket the longest wait before, below the margin of the sweep', () => {
  expect(longestBatchWaitMs + sendDeadlineMs).toBeLessThan(sweepMarginMs)
})

it('Probes of a minute share a name, and those of the next have another, in case the carrier never gives one out', async () => {
  const names: string[] = []
  const carrier = {
    add: async (_queue: string, [probe]: TicketToSend[]) => void names.push(probe!.id),
  } as unknown as Carrier
  const sender = new TicketSender(carrier, { contracts, onLost: () => {} })
  for (const time of ['10:02:03.456', '10:02:59', '10:03:00.1'])
    await sender.probe({ queue: 'a', priority: 7, stamp: `2026-11-21 ${time}+00` })
  expect(names).toEqual(['probe-7-202611211002', 'probe-7-202611211002', 'probe-7-202611211003'])
})

describe('Sending', () => {
  it('never throws, and tells what may be lost', async () => {
    const lost: [string, number][] = []
    const broken = { add: () => Promise.reject(new Error('down')) } as unknown as Carrier
    const sender = new TicketSender(broken, {
      contracts,
      onLost: (error, tickets) => lost.push([error.message, tickets]),
    })
    await sender.send([job('1')])
    await sender.send([])
    await sender.passOn('a', 0, { ids: [] })
    await sender.flush()
    expect(lost).toEqual([['down', 1]])
  })

  describe('to a carrier that does not answer', () => {
    const lost: string[] = []
    const answers: (() => void)[] = []
    const silent = { add: () => new Promise<void>((resolve) => answers.push(resolve)) } as unknown as Carrier
    const passOn = async (sender: TicketSender, times: number) => {
      const sends = Array.from({ length: times }, () => sender.passOn('a', 0, { ids: ['1'] }))
      await vi.advanceTimersByTimeAsync(sendDeadlineMs)
      await Promise.all(sends)
    }
    let sender: TicketSender
    beforeEach(() => {
      vi.useFakeTimers()
      lost.length = 0
      answers.length = 0
      sender = new TicketSender(silent, { contracts, onLost: (error) => lost.push(error.message) })
    })
    afterEach(() => {
      vi.useRealTimers()
    })

    it('waits for as many answers as there are sends', async () => {
      const sends = Promise.all(Array.from({ length: 1_000 }, () => sender.passOn('a', 0, { ids: ['1'] })))
      for (const answer of answers) answer()
      await sends
      expect(answers).toHaveLength(1_000)
      expect(lost).toEqual([])
    })

    it('gives up at once while too many answers are overdue', async () => {
      await passOn(sender, 256)
      expect(lost[255]).toContain('no answer within')
      await sender.passOn('a', 0, { ids: ['1'] })
      expect(lost[256]).toContain('has not answered 256 sends')
      expect(answers).toHaveLength(256)
      answers[0]?.()
      await vi.advanceTimersByTimeAsync(0)
      await passOn(sender, 1)
      expect(answers).toHaveLength(257)
    })
  })
})

it('A sender is healthy again when a send succeeds, or a while after the last one failed', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  let fails = true
  const carrier = { add: async () => (fails ? Promise.reject(new Error('full')) : undefined) } as unknown as Carrier
  const sender = new TicketSender(carrier, { contracts, onLost: () => {} })
  expect(sender.healthy).toBe(true)
  await sender.send([job('1')])
  expect(sender.healthy).toBe(false)
  fails = false
  await sender.send([job('2')])
  expect(sender.healthy).toBe(true)
  fails = true
  await sender.send([job('3')])
  await vi.advanceTimersByTimeAsync(10_001)
  expect(sender.healthy).toBe(true)
})

it('A flush waits for the sends that are under way', async () => {
  const answer = Promise.withResolvers<void>()
  const slow = { add: () => answer.promise } as unknown as Carrier
  const sender = new TicketSender(slow, { contracts, onLost: (error) => expect.unreachable(error.message) })
  const order: string[] = []
  void sender.send([job('1')])
  const flushed = sender.flush().then(() => order.push('flushed'))
  await new Promise((resolve) => setImmediate(resolve))
  order.push('answered')
  answer.resolve()
  await flushed
  expect(order).toEqual(['answered', 'flushed'])
})

describe('Holding', () => {
  const sent: TicketToSend['data'][] = []
  const carrier = {
    add: async (_queue: string, tickets: TicketToSend[]) => void sent.push(...tickets.map(({ data }) => data)),
  } as unknown as Carrier
  let sender: TicketSender
  beforeEach(() => {
    vi.useFakeTimers()
    sent.length = 0
    sender = new TicketSender(carrier, { contracts, onLost: (error) => expect.unreachable(error.message) })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('sends a ticket that is not full when its time is up', async () => {
    await sender.send([job('1', 'patient')])
    await vi.advanceTimersByTimeAsync(99)
    await sender.send([job('2', 'patient')])
    expect(sent).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(sent).toEqual([{ ids: ['1', '2'], whole: true }])
  })

  it('sends a ticket at once when it is full', async () => {
    await sender.send([job('1', 'patient'), job('2', 'patient')])
    await sender.send([job('3', 'patient'), job('4', 'patient')])
    expect(sent).toEqual([{ ids: ['1', '2', '3'], whole: true }])
  })

  it('sends each type in its own time, and ordinary ones at once', async () => {
    await sender.send([job('1', 'patient'), job('2', 'quick'), job('3')])
    expect(sent).toEqual([{ ids: ['3'] }])
    await vi.advanceTimersByTimeAsync(10)
    expect(sent.slice(1)).toEqual([{ ids: ['2'], whole: true }])
    await vi.advanceTimersByTimeAsync(90)
    expect(sent.slice(2)).toEqual([{ ids: ['1'], whole: true }])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('sends everything when it is flushed', async () => {
    await sender.send([job('1', 'patient'), job('2', 'quick')])
    await sender.flush()
    expect(sent).toEqual([
      { ids: ['1'], whole: true },
      { ids: ['2'], whole: true },
    ])
    expect(vi.getTimerCount()).toBe(0)
  })
})
