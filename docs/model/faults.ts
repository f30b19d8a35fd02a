import { claim, settle } from './statements.ts'
import { item, probe, type Hand, type Lane, type State } from './state.ts'
import { dropAt, eachProcess, faultsOf, listOf, processAt, type Transition } from './step.ts'
import { eachOutcome } from './transitions/attempts.ts'
import { abortAll, crash, reap } from './transitions/processes.ts'
import { deliver, stampProbe, waitingLong } from './transitions/tickets.ts'
import type { World } from './world.ts'

/** A ticket is lost on its way, or arrives twice. */
const sends: Transition = (now, world, offer) => {
  const fault = faultsOf(now, world, offer)
  now.sends.forEach((send, index) => {
    fault('lost send', `ticket ${listOf(send.jobs)} is lost on its way`, (next) => {
      next.sends = dropAt(next.sends, index)
    })
    fault('doubled send', `ticket ${listOf(send.jobs)} arrives twice`, (next) => {
      next.sends = dropAt(next.sends, index)
      deliver(world, next, send)
      deliver(world, next, send)
    })
  })
}

/** A send takes longer than the margin allows for. */
const slowSend: Transition = (now, world, offer) => {
  const fault = faultsOf(now, world, offer)
  if (!world.rules.probeFindsLost || now.queue.includes(probe) || now.sends.length === 0) return
  const stamped = waitingLong(now, false)
  if (!stamped || stamped === waitingLong(now, true)) return
  fault('slow send', 'a probe overtakes a ticket that is still on its way', (next) => stampProbe(next, stamped))
}

/** The answer to a claim is lost, or it is given up before it is executed, or its ticket is given out a second time. */
const claims: Transition = (now, world, offer) => {
  const fault = faultsOf(now, world, offer)
  eachProcess(now, (process, at, name) => {
    process.hands.forEach((hand, index) => {
      const { answer, take, lane, ticket } = hand
      if (answer) {
        fault('lost answer', `${name} gets no answer to its claim, which was executed`, (next) =>
          repeatClaim(world, next, at, index),
        )
      } else {
        fault('late statement', `${name} gives up its claim of ${listOf(take)}, which is still under way`, (next) => {
          next.late.push({ kind: 'claim', worker: process.id, jobs: take, lane })
          repeatClaim(world, next, at, index)
        })
      }
      if (lane === 'suspect') return
      fault('ticket comes again', `ticket ${listOf(ticket)} in the hand of ${name} comes again`, (next) => {
        next.queue.unshift(ticket)
      })
    })
  })
}

/** A claim without an answer is repeated, one of a suspect is not. */
function repeatClaim({ rules }: World, state: State, at: number, index: number): void {
  const process = processAt(state, at)
  const hand = item(process.hands, index)
  const again: Record<Lane, boolean> = { ordinary: rules.failedClaimKeepsTicket, suspect: false }
  const unanswered: Hand = { ...hand, answer: undefined, under: 0 }
  process.hands = again[hand.lane] ? process.hands.with(index, unanswered) : dropAt(process.hands, index)
}

/** The answer to a settlement is lost, or it is given up before it is executed: both times it is repeated. */
const settlements: Transition = (now, world, offer) => {
  const fault = faultsOf(now, world, offer)
  eachOutcome(now, (run, outcome, at, index, name) => {
    const what = `its settlement of ${run.job} as ${outcome}`
    fault('lost answer', `${name} gets no answer to ${what}, which was executed`, (next) => {
      settle(world, next, run, outcome)
      repeatSettlement(world, next, at, index)
    })
    fault('late statement', `${name} gives up ${what}, which is still under way`, (next) => {
      next.late.push({ kind: 'settle', run: { job: run.job, epoch: run.epoch }, outcome })
      repeatSettlement(world, next, at, index)
    })
  })
}

/** What became of a transaction only the record can tell: the job is settled as to be run again, which changes nothing if it landed. */
function repeatSettlement({ scenario }: World, state: State, at: number, index: number): void {
  const run = item(processAt(state, at).runs, index)
  if (scenario.transaction && run.stage === 'completed') run.stage = 'snoozed'
}

/** A process is killed, stands still for a lease, or gets no answer from Postgres for three. */
const processes: Transition = (now, world, offer) => {
  const fault = faultsOf(now, world, offer)
  eachProcess(now, ({ id, runs }, at, name) => {
    fault('crash', `${name} is killed`, (next) => crash(next, at))
    if (now.sends.length > 0)
      fault('crash while sending', `${name} is killed, with the tickets it was sending`, (next) => {
        crash(next, at)
        next.sends = []
      })
    if (now.workers.includes(id))
      fault('pause', `${name} stands still and is declared dead`, (next) => reap(world, next, id))
    if (runs.some((run) => run.known))
      fault('cut off', `${name} is cut off from Postgres, and aborts its runs`, (next) => abortAll(processAt(next, at)))
  })
}

/** Redis loses everything. */
const wipe: Transition = (now, world, offer) => {
  const fault = faultsOf(now, world, offer)
  if (now.queue.length + now.stalled.length === 0) return
  fault('wipe', 'the carrier is wiped', (next) => {
    next.queue = []
    next.stalled = []
    for (const job of next.jobs) job.old = false
  })
}

/** A statement is executed after its process gave it up, or never; of a claim of a suspect its process waits for that. */
const lateStatements: Transition = (now, world, offer) => {
  now.late.forEach((late, index) => {
    const what = late.kind === 'claim' ? `claim of ${listOf(late.jobs)}` : `settlement of ${late.run.job}`
    offer('choice', `the ${what} that was given up is executed`, (next) => {
      next.late = dropAt(next.late, index)
      if (late.kind === 'claim') claim(world, next, late.worker, late.jobs, late.lane)
      else settle(world, next, late.run, late.outcome)
    })
    if (late.kind === 'claim' && late.lane === 'suspect')
      offer('progress', `the ${what} that was given up is never executed`, (next) => {
        next.late = dropAt(next.late, index)
      })
  })
}

/** Everything that may go wrong. */
export const faults: readonly Transition[] = [sends, slowSend, claims, settlements, processes, wipe, lateStatements]
