import { newId } from '@jobyard/db/ids'
import type { Carrier } from '@jobyard/queues/carrier'
import type { JobTicket } from '@jobyard/queues/carrier-backend'
import type { TicketSender } from '@jobyard/queues/tickets'
import { pino } from 'pino'
import { expect, it, vi } from 'vitest'
import type { Claims } from './claims.ts'
import { JobWorker } from './job-worker.ts'
import type { Run } from './ownership.ts'
import type { ProbeJudge } from './probe-judge.ts'

/** Of every ticket. */
const priority = { ofBullMQ: 6, ours: 3 }

/** A worker of one queue, whose tickets, claims and handlers are in the hands of the test. */
function work({
  concurrency,
  batchSize = 1,
  limitedForMs = 0,
  hangs = false,
}: {
  concurrency: number
  batchSize?: number
  limitedForMs?: number
  /** Whether fetches get no answer. */
  hangs?: boolean
}) {
  const tickets: JobTicket[] = []
  const passedOn: (JobTicket & { priority: number })[] = []
  const claimed: number[] = []
  const running: ((ended: unknown) => void)[] = []
  let wake = Promise.withResolvers<void>()
  let closed = false
  let fetches = 0
  /** As in BullMQ: the first fetch from an empty queue finds nothing, the next one waits, and others find nothing meanwhile. */
  let drained = false
  let waiting = false
  let hanging = hangs
  const next = () => {
    const data = tickets.shift()
    return data && { data, priority: priority.ofBullMQ }
  }
  const ticketWorker = {
    limitedForMs,
    startStalledCheckTimer: async () => {},
    pause: async () => {},
    close: async () => {},
    getBackend: () => ({
      disconnectBlocking: async () => {
        closed = true
        wake.resolve()
      },
    }),
    getNextJob: async () => {
      fetches++
      if (hanging) await new Promise(() => {})
      if (drained && !waiting) {
        waiting = true
        while (tickets.length === 0 && !closed) await wake.promise
        waiting = false
      }
      const found = next()
      drained = !found
      return found
    },
    acknowledge: async (_ticket: unknown, fetchNext: boolean) => (fetchNext ? next() : undefined),
  }
  const worker = new JobWorker({
    queue: 'a',
    concurrency,
    batchSize,
    carrier: { openWorker: async () => ticketWorker } as unknown as Carrier,
    claims: {
      open: true,
      claim: async (ids: readonly string[]) => {
        claimed.push(ids.length)
        return ids.map((id) => ({ job: { id } }))
      },
    } as unknown as Claims,
    tickets: {
      passOn: async (_queue: string, itsPriority: number, ticket: JobTicket) =>
        void passedOn.push({ ...ticket, priority: itsPriority }),
    } as TicketSender,
    probes: {} as ProbeJudge,
    attempts: {
      group: (runs) => (batchSize > 1 ? [[...runs]] : runs.map((run): Run[] => [run])),
      execute: () => new Promise<unknown>((resolve) => running.push(resolve)).then(() => {}),
    },
    log: pino({ level: 'silent' }),
  })
  worker.start()
  return {
    worker,
    passedOn,
    claimed,
    running,
    tickets,
    fetches: () => fetches,
    /** From now on fetches are answered. */
    answer: () => {
      hanging = false
    },
    send: (...sent: JobTicket[]) => {
      tickets.push(...sent)
      wake.resolve()
      wake = Promise.withResolvers()
    },
    /** Resolves when everything that could happen by itself has happened. */
    quiet: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
  }
}

const ticket = (count: number, whole?: true): JobTicket => ({
  ids: Array.from({ length: count }, newId),
  ...(whole && { whole }),
})

it('Claims as many jobs of a ticket as there are slots, and sends the rest on to the head of its priority', async () => {
  const { worker, claimed, passedOn, send, quiet } = work({ concurrency: 5 })
  const eight = ticket(8)
  send(eight, ticket(1))
  await quiet()
  expect(claimed).toEqual([5])
  expect(passedOn).toEqual([{ ids: eight.ids.slice(5), priority: priority.ours }])
  await worker.stop()
})

it('Claims a ticket of a batched type whole, and fetches no other while its jobs fill the slots', async () => {
  const { worker, claimed, passedOn, tickets, running, send, quiet } = work({ concurrency: 4, batchSize: 10 })
  send(ticket(10, true), ticket(2, true), ticket(2, true), ticket(2, true))
  await quiet()
  expect(claimed).toEqual([10])
  running.shift()?.(undefined)
  await quiet()
  expect(claimed).toEqual([10, 2, 2])
  expect(tickets).toHaveLength(1)
  expect(passedOn.flatMap(({ ids }) => ids)).toEqual([])
  await worker.stop()
})

it('Never has more jobs in hand than its slots and a batch, however many tickets wait', async () => {
  const { worker, claimed, running, send, quiet } = work({ concurrency: 50, batchSize: 20 })
  send(...Array.from({ length: 100 }, () => ticket(20, true)))
  let ended = 0
  while (ended < 100) {
    await quiet()
    const inHand = claimed.slice(ended).reduce((sum, count) => sum + count, 0)
    expect(inHand).toBeGreaterThanOrEqual(Math.min(50, (100 - ended) * 20))
    expect(inHand).toBeLessThan(50 + 20)
    running.shift()?.(undefined)
    ended++
  }
  expect(claimed).toHaveLength(100)
  await worker.stop()
})

it('Fetches no more while a fetch waits for the first ticket of an empty queue, whatever ends meanwhile', async () => {
  const { worker, running, fetches, send, quiet } = work({ concurrency: 50 })
  send(ticket(3), ticket(3), ticket(3))
  await quiet()
  expect(running).toHaveLength(9)
  const fetched = fetches()
  for (const end of running.splice(0)) {
    end(undefined)
    await quiet()
  }
  expect(fetches()).toBe(fetched)
  send(ticket(3))
  await quiet()
  expect(running).toHaveLength(3)
  await worker.stop()
})

it('Sends a ticket on as it was when it stops', async () => {
  const { worker, claimed, passedOn, tickets, send } = work({ concurrency: 5, batchSize: 10 })
  const late = ticket(7, true)
  const stopped = worker.stop()
  tickets.push(late)
  send()
  await stopped
  expect(claimed).toEqual([])
  expect(passedOn).toEqual([{ ...late, priority: priority.ours }])
})

it('Fetches nothing while a rate limit lasts, and stops all the same', async () => {
  const { worker, tickets, send, quiet } = work({ concurrency: 5, limitedForMs: 60_000 })
  send(ticket(1))
  await quiet()
  expect(tickets).toHaveLength(1)
  await worker.stop()
})

it('Fetches once more when a fetch gets no answer, though nothing else happens in its queue', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  const { claimed, answer, tickets, quiet } = work({ concurrency: 5, hangs: true })
  await quiet()
  answer()
  tickets.push(ticket(1))
  vi.advanceTimersByTime(14_000)
  await quiet()
  expect(claimed).toEqual([])
  vi.advanceTimersByTime(6_000)
  await quiet()
  expect(claimed).toEqual([1])
  vi.useRealTimers()
})
