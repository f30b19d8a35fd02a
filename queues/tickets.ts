import { newId } from '@jobyard/db/ids'
import type { Ticketable } from '@jobyard/db/requeue'
import type { ProbeTarget } from '@jobyard/db/sweep'
import type { Carrier, TicketToSend } from './carrier.ts'
import type { JobTicket } from './carrier-backend.ts'
import { DeadlineError, withDeadline } from './deadline.ts'
import type { Contract } from './define-job.ts'
import { TicketPacker, type PackedTickets } from './ticket-packer.ts'

/** Jobs of ordinary types that one ticket carries at most. */
const defaultIdsPerTicket = 32
/** Time a send may take, in milliseconds; below the margin of the sweep. */
export const sendDeadlineMs = 3_000
/**
 * Sends that may be unanswered after their deadline; while there are so many the carrier is taken for dead, and further ones
 * are left to the probe, so that it costs no memory.
 */
const maxOverdue = 256
/** Time after which a failed send tells nothing of the present any more, in milliseconds. */
const failureCountsMs = 10_000

export interface TicketSenderOptions {
  /** Those of batched types say how their jobs are packed. */
  readonly contracts: readonly Contract[]
  /** Told of tickets that may not have been sent. */
  readonly onLost: (error: Error, tickets: number) => void
  /** Jobs of ordinary types that one ticket carries at most. */
  readonly idsPerTicket?: number
}

/** Sends tickets. Never throws and never waits longer than its deadline: a ticket that was lost is found by the probe. */
export class TicketSender {
  readonly #carrier: Carrier
  readonly #packer: TicketPacker
  readonly #onLost: TicketSenderOptions['onLost']
  readonly #sending = new Set<Promise<void>>()
  #overdue = 0
  /** When the last send failed, on the monotonic clock in milliseconds, unless one has succeeded since. */
  #failedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(carrier: Carrier, { contracts, onLost, idsPerTicket = defaultIdsPerTicket }: TicketSenderOptions) {
    this.#carrier = carrier
    this.#packer = new TicketPacker(contracts, idsPerTicket)
    this.#onLost = onLost
  }

  /** False when the last send has just failed. */
  get healthy(): boolean {
    return performance.now() - this.#failedAt > failureCountsMs
  }

  /**
   * Sends tickets for jobs that a statement has just made ready. A ticket that may wait for more jobs is sent later, by itself
   * or by {@link flush}.
   */
  async send(jobs: readonly Ticketable[]): Promise<void> {
    if (jobs.length > 0) await this.#sendPacked(this.#packer.pack(jobs, performance.now()))
  }

  /**
   * Sends the tickets that wait for more jobs: to be called when there will be no more.
   *
   * @returns once no send is under way any more.
   */
  async flush(): Promise<void> {
    await this.#sendPacked(this.#packer.take(Number.POSITIVE_INFINITY))
    await Promise.all(this.#sending)
  }

  /** Sends a ticket, or the rest of one, to the head of its queue and priority: its jobs have had their turn. */
  async passOn(queue: string, priority: number, ticket: JobTicket): Promise<void> {
    if (ticket.ids.length > 0) await this.#add(queue, [{ id: newId(), data: ticket, priority, atHead: true }])
  }

  /**
   * Sends a probe behind the tickets of its queue and priority; a no-op while another one of the same minute is on its way. One that the
   * carrier knows and never gives out, as when Redis has evicted its list, would hide every lost ticket behind a name that never changed.
   */
  async probe({ queue, priority, stamp }: ProbeTarget): Promise<void> {
    await this.#add(queue, [{ id: `probe-${priority}-${minuteOf(stamp)}`, data: { probe: stamp, priority }, priority }])
  }

  async #sendPacked(packed: PackedTickets): Promise<void> {
    this.#sendWhenDue()
    await Promise.all([...packed].map(([queue, tickets]) => this.#add(queue, tickets)))
  }

  #sendWhenDue(): void {
    clearTimeout(this.#timer)
    const { dueAt } = this.#packer
    if (dueAt === undefined) return
    const send = () => void this.#sendPacked(this.#packer.take(performance.now()))
    this.#timer = setTimeout(send, Math.max(dueAt - performance.now(), 0))
  }

  #add(queue: string, tickets: TicketToSend[]): Promise<void> {
    const sending = this.#send(queue, tickets).finally(() => this.#sending.delete(sending))
    this.#sending.add(sending)
    return sending
  }

  async #send(queue: string, tickets: TicketToSend[]): Promise<void> {
    try {
      if (this.#overdue >= maxOverdue) throw new Error(`The carrier has not answered ${maxOverdue} sends`)
      await this.#answered(this.#carrier.add(queue, tickets))
      this.#failedAt = Number.NEGATIVE_INFINITY
    } catch (error) {
      this.#failedAt = performance.now()
      this.#onLost(error instanceof Error ? error : new Error(String(error)), tickets.length)
    }
  }

  async #answered(answer: Promise<void>): Promise<void> {
    try {
      await withDeadline(answer, sendDeadlineMs, 'Sending tickets')
    } catch (error) {
      if (error instanceof DeadlineError) {
        this.#overdue++
        const onAnswer = () => this.#overdue--
        answer.then(onAnswer, onAnswer)
      }
      throw error
    }
  }
}

/** @returns the minute of a moment, `2026-11-21 10:02:03.4+00`, in digits: an id of BullMQ's has no colon. */
function minuteOf(stamp: string): string {
  return stamp.slice(0, '2026-11-21 10:02'.length).replaceAll(/\D/g, '')
}
