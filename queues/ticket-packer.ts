import { newId } from '@jobyard/db/ids'
import { suspectCrashes } from '@jobyard/db/live'
import type { Ticketable } from '@jobyard/db/requeue'
import type { TicketToSend } from './carrier.ts'
import type { JobTicket } from './carrier-backend.ts'
import type { BatchPolicy, Contract } from './define-job.ts'

/** Tickets by the name of their queue. */
export type PackedTickets = Map<string, TicketToSend[]>

/** Tickets over which ordinary jobs that arrive together are spread at least, so that idle workers share them. */
const fewestTickets = 8
/** Time after which a job counts half as one that arrives together with the present ones, in milliseconds. */
const togetherHalfLifeMs = 50

/** Jobs that share a ticket: of one queue and priority, and if their type is batched, of one type. */
interface Pack {
  /** Names queue, priority, and the type if it is batched. */
  readonly lane: string
  readonly queue: string
  readonly priority: number
  readonly size: number
  /** Whether the ticket is to be claimed as a whole. */
  readonly whole: boolean
  /** Monotonic time until which the pack may wait for more jobs, in milliseconds. */
  readonly dueAt: number
  readonly ids: string[]
}

/**
 * Packs jobs into tickets. A job that travels alone gets a ticket of its own; a suspect gets none, since workers look for
 * suspects in the record. Keeps packs of types whose contract lets them wait, until they are full or due.
 */
export class TicketPacker {
  readonly #policies: ReadonlyMap<string, BatchPolicy>
  readonly #idsPerTicket: number
  readonly #open = new Map<string, Pack>()
  #packed: PackedTickets = new Map()
  /** Jobs of ordinary types that came lately, by queue and priority; older ones count less. */
  readonly #lately = new Map<string, { readonly count: number; readonly at: number }>()

  /**
   * @param contracts those that say `batch`; the others make no difference.
   * @param idsPerTicket jobs of ordinary types that one ticket carries at most.
   */
  constructor(contracts: readonly Contract[], idsPerTicket: number) {
    this.#policies = new Map(contracts.flatMap(({ type, batch }) => (batch ? [[type, batch]] : [])))
    this.#idsPerTicket = idsPerTicket
  }

  /** Earliest time at which a pack that waits is due; undefined when none waits. */
  get dueAt(): number | undefined {
    let earliest: number | undefined
    for (const { dueAt } of this.#open.values()) if (earliest === undefined || dueAt < earliest) earliest = dueAt
    return earliest
  }

  /**
   * Packs jobs that have just become ready.
   *
   * @param nowMs monotonic time, in milliseconds.
   * @returns the tickets to be sent now: full ones, and those that may not wait any longer.
   */
  pack(jobs: readonly Ticketable[], nowMs: number): PackedTickets {
    this.#noteLately(jobs, nowMs)
    let pack: Pack | undefined
    let last: Ticketable | undefined
    for (const job of jobs) {
      if (job.crashes >= suspectCrashes) continue
      if (job.alone) {
        this.#add(job.queue, job.priority, { ids: [job.id] })
        continue
      }
      if (!pack || !last || !sameLane(job, last)) pack = this.#packFor(job, nowMs)
      last = job
      pack.ids.push(job.id)
      if (pack.ids.length === pack.size) {
        this.#close(pack)
        pack = undefined
      }
    }
    return this.take(nowMs)
  }

  /** @returns the tickets that are due at `nowMs`: all of them at infinity. */
  take(nowMs: number): PackedTickets {
    for (const pack of this.#open.values()) if (pack.dueAt <= nowMs) this.#close(pack)
    const packed = this.#packed
    this.#packed = new Map()
    return packed
  }

  /** Counts these jobs, and those shortly before them: a steady stream brings them a few at a time. */
  #noteLately(jobs: readonly Ticketable[], nowMs: number): void {
    for (const { type, queue, priority, crashes, alone } of jobs) {
      if (alone || crashes >= suspectCrashes || this.#policies.has(type)) continue
      const lane = `${priority} ${queue}`
      const { count, at } = this.#lately.get(lane) ?? { count: 0, at: nowMs }
      this.#lately.set(lane, { count: count * 0.5 ** ((nowMs - at) / togetherHalfLifeMs) + 1, at: nowMs })
    }
  }

  /** Size of an ordinary ticket: a share of the jobs that came lately to this queue and priority. */
  #ordinarySize(lane: string): number {
    const share = Math.floor((this.#lately.get(lane)?.count ?? 0) / fewestTickets)
    return Math.min(Math.max(share, 1), this.#idsPerTicket)
  }

  #packFor({ type, queue, priority }: Ticketable, nowMs: number): Pack {
    const policy = this.#policies.get(type)
    const lane = policy ? `${priority} ${queue} ${type}` : `${priority} ${queue}`
    const open = this.#open.get(lane)
    if (open) return open
    const { size = this.#ordinarySize(lane), maxWaitMs = 0 } = policy ?? {}
    const pack: Pack = { lane, queue, priority, size, whole: policy !== undefined, dueAt: nowMs + maxWaitMs, ids: [] }
    this.#open.set(lane, pack)
    return pack
  }

  #close({ lane, queue, priority, ids, whole }: Pack): void {
    this.#open.delete(lane)
    this.#add(queue, priority, whole ? { ids, whole } : { ids })
  }

  #add(queue: string, priority: number, data: JobTicket): void {
    const ticket = { id: newId(), data, priority }
    const tickets = this.#packed.get(queue)
    if (tickets) tickets.push(ticket)
    else this.#packed.set(queue, [ticket])
  }
}

/** Jobs that follow each other mostly share a pack, which need not be looked up then. */
function sameLane(one: Ticketable, other: Ticketable): boolean {
  return one.type === other.type && one.queue === other.queue && one.priority === other.priority
}
