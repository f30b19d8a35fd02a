import { newId } from '@jobyard/db/ids'
import { suspectCrashes } from '@jobyard/db/claim'
import type { Ticketable } from '@jobyard/db/requeue'
import type { ProbeTarget } from '@jobyard/db/sweep'
import type { Carrier, TicketToSend } from './carrier.ts'
import { withDeadline } from './deadline.ts'

/** Jobs that one ticket carries at most, unless a contract asks for batches. */
export const idsPerTicket = 8
/** Time a send may take, in milliseconds; below the margin of the sweep. */
export const sendDeadlineMs = 3_000
/** Sends that may be unanswered at once; further ones are left to the probe, so that a dead carrier costs no memory. */
const maxUnanswered = 256

/**
 * Packs jobs into tickets: same queue and priority, up to {@link idsPerTicket} in one. A job that crashed its process once
 * travels alone; a suspect gets no ticket, since workers look for suspects in the record.
 */
export function packTickets(jobs: readonly Ticketable[]): Map<string, TicketToSend[]> {
  const packs = new Map<string, { ids: string[]; queue: string; priority: number }>()
  const tickets = new Map<string, TicketToSend[]>()
  const seal = (queue: string, priority: number, ids: string[]) => {
    const ticket = { id: newId(), data: { ids }, priority }
    const list = tickets.get(queue)
    if (list) list.push(ticket)
    else tickets.set(queue, [ticket])
  }
  for (const { id, queue, priority, crashes } of jobs) {
    if (crashes >= suspectCrashes) continue
    if (crashes > 0) {
      seal(queue, priority, [id])
      continue
    }
    const lane = `${priority} ${queue}`
    const pack = packs.get(lane) ?? { ids: [], queue, priority }
    pack.ids.push(id)
    if (pack.ids.length === idsPerTicket) {
      seal(queue, priority, pack.ids)
      packs.delete(lane)
    } else packs.set(lane, pack)
  }
  for (const { queue, priority, ids } of packs.values()) seal(queue, priority, ids)
  return tickets
}

/** Sends tickets. Never throws and never waits longer than its deadline: a ticket that was lost is found by the probe. */
export class TicketSender {
  readonly #carrier: Carrier
  readonly #onLost: (error: Error, tickets: number) => void
  #unanswered = 0

  /** @param onLost told of tickets that may not have been sent. */
  constructor(carrier: Carrier, onLost: (error: Error, tickets: number) => void) {
    this.#carrier = carrier
    this.#onLost = onLost
  }

  /** Sends tickets for jobs that a statement has just made ready. */
  async send(jobs: readonly Ticketable[]): Promise<void> {
    if (jobs.length === 0) return
    await Promise.all([...packTickets(jobs)].map(([queue, tickets]) => this.#add(queue, tickets)))
  }

  /** Sends the rest of a ticket to the head of its queue: its jobs have had their turn. */
  async passOn(queue: string, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#add(queue, [{ id: newId(), data: { ids }, priority: 0, atHead: true }])
  }

  /** Sends a probe behind the tickets of its queue and priority; a no-op while the one before is on its way. */
  async probe({ queue, priority, stamp }: ProbeTarget): Promise<void> {
    await this.#add(queue, [{ id: `probe-${priority}`, data: { probe: stamp, priority }, priority }])
  }

  async #add(queue: string, tickets: TicketToSend[]): Promise<void> {
    try {
      if (this.#unanswered >= maxUnanswered) throw new Error(`The carrier has not answered ${maxUnanswered} sends`)
      this.#unanswered++
      const answered = this.#carrier.add(queue, tickets).finally(() => this.#unanswered--)
      await withDeadline(answered, sendDeadlineMs, 'Sending tickets')
    } catch (error) {
      this.#onLost(error instanceof Error ? error : new Error(String(error)), tickets.length)
    }
  }
}
