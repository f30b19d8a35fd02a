import { isSuspect, item, members, only, probe, select, type JobSet, type Send, type State } from '../state.ts'
import { dropAt, listOf, type Transition } from '../step.ts'
import type { World } from '../world.ts'

/**
 * `queues/tickets.ts`: tickets for jobs that a statement has just made ready, on their way from now on. A job that has failed or
 * crashed travels alone; a suspect has no ticket.
 */
export function sendTickets(state: State, jobs: JobSet): void {
  let together = 0
  for (const id of members(jobs)) {
    const job = item(state.jobs, id)
    if (isSuspect(job)) continue
    if (job.crashes > 0 || job.attempts > 0) state.sends.push({ jobs: only(id), atHead: false })
    else together |= only(id)
  }
  if (together) state.sends.push({ jobs: together, atHead: false })
}

/** Tickets in hand, or the rest of one, go back to the head of their queue. */
export function passOn(state: State, jobs: JobSet): void {
  if (jobs) state.sends.push({ jobs, atHead: true })
}

/** The carrier takes a ticket. */
export function deliver({ rules }: World, state: State, { jobs, atHead }: Send): void {
  if (!rules.freshTicketIds && isInCarrier(state, jobs)) return
  if (atHead) state.queue.unshift(jobs)
  else state.queue.push(jobs)
}

function isInCarrier({ queue, stalled, processes }: State, jobs: JobSet): boolean {
  const held = processes.some(({ hands }) => hands.some(({ ticket }) => ticket === jobs))
  return held || queue.includes(jobs) || stalled.includes(jobs)
}

/** A ticket arrives in the carrier. */
export const arrive: Transition = (now, world, offer) => {
  now.sends.forEach((send, index) => {
    offer('carrier', `ticket ${listOf(send.jobs)} arrives`, (next) => {
      next.sends = dropAt(next.sends, index)
      deliver(world, next, send)
    })
  })
}

/** BullMQ gives out again what a dead process had fetched. */
export const comeAgain: Transition = (now, _, offer) => {
  now.stalled.forEach((ticket, index) => {
    offer('progress', `ticket ${listOf(ticket)} of a dead process comes again`, (next) => {
      next.stalled = dropAt(next.stalled, index)
      next.queue.unshift(ticket)
    })
  })
}

/** `Reconciler.probe`: wherever rows wait, a probe goes behind the tickets; one at a time, since its id is fixed. */
export const sendProbe: Transition = (now, { rules }, offer) => {
  if (!rules.probeFindsLost || now.queue.includes(probe)) return
  const stamped = waitingLong(now, rules.marginAboveSend)
  if (stamped) offer('progress', 'a probe is sent', (next) => stampProbe(next, stamped))
}

/** @returns queued rows that have waited for longer than the margin: not those whose ticket is being sent, if the margin is kept. */
export function waitingLong(state: State, marginKept: boolean): JobSet {
  const waiting = select(state.jobs, (job) => job.status === 'queued' && !isSuspect(job))
  return marginKept ? waiting & ~beingSent(state) : waiting
}

/** Rows that have just become ready. The rest of a ticket may be on its way, too, but has waited before. */
function beingSent({ sends, processes }: State): JobSet {
  let sent = 0
  for (const { jobs, atHead } of sends) if (!atHead) sent |= jobs
  for (const { leaving = 0 } of processes) sent |= leaving
  return sent
}

/** A probe enters the queue: what it is about to prove is about these rows. */
export function stampProbe(state: State, stamped: JobSet): void {
  state.queue.push(probe)
  for (const id of members(stamped)) item(state.jobs, id).old = true
}

/** What the protocol does not do: rows get a new ticket for having waited. */
export const sweepByAge: Transition = (now, { rules }, offer) => {
  if (rules.sweepOnlyProven) return
  const waiting = waitingLong(now, true)
  if (waiting)
    offer('progress', `${listOf(waiting)} get new tickets for their age`, (next) => sendTickets(next, waiting))
}
