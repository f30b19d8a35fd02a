import { claim, sweepLost } from '../statements.ts'
import { firstOf, isAtWork, item, members, only, probe, type Hand, type Process, type State } from '../state.ts'
import { dropAt, eachProcess, listOf, processAt, type Transition } from '../step.ts'
import type { World } from '../world.ts'
import { passOn, sendTickets } from './tickets.ts'

/** `JobWorker`: with a free slot in hand the next ticket is fetched, and what there is no slot for is sent on. */
export const fetchTicket: Transition = (now, world, offer) => {
  const ticket = now.queue[0]
  if (ticket === undefined) return
  eachProcess(now, (process, at, name) => {
    const slots = freeSlots(process, world)
    if (!mayFetch(process, slots, world)) return
    if (ticket === probe) {
      offer('progress', `the probe comes out at ${name}`, judgeProbe)
      return
    }
    const take = firstOf(ticket, slots)
    offer('carrier', `${name} fetches ticket ${listOf(ticket)}`, (next) => {
      next.queue.shift()
      passOn(next, world.rules.restIsSentOn ? ticket & ~take : 0)
      if (take) processAt(next, at).hands.push({ lane: 'ordinary', ticket, take, under: 0 })
    })
  })
}

function mayFetch({ leaving, hands, runs }: Process, slots: number, { rules }: World): boolean {
  if (leaving !== undefined || (slots <= 0 && rules.slotBeforeFetch)) return false
  const suspect = hands.some(({ lane }) => lane === 'suspect') || runs.some((run) => run.lane === 'suspect')
  return !(suspect && rules.suspectsRunAlone)
}

function freeSlots({ hands, runs }: Process, { scenario }: World): number {
  let free = scenario.slots
  for (const { lane, take } of hands) if (lane === 'ordinary') free -= members(take).length
  for (const run of runs) if (run.lane === 'ordinary' && isAtWork(run)) free -= 1
  return free
}

/**
 * `ProbeJudge`: older rows that are still queued have lost their ticket. One step, though a process may die in it: until it has
 * judged the probe comes again, and after that there is nothing left to judge.
 */
function judgeProbe(next: State): void {
  next.queue.shift()
  sendTickets(next, sweepLost(next))
}

/**
 * `Claims`, `Suspects`: the claim of what is in hand is executed. What it takes is on its way to the process; a ticket of which
 * nothing is left to take is acknowledged.
 */
export const executeClaim: Transition = (now, world, offer) => {
  const { claimNeedsWorkerRow, refusedClaimKeepsTicket } = world.rules
  eachProcess(now, (process, at, name) => {
    const refused = claimNeedsWorkerRow && !now.workers.includes(process.id)
    process.hands.forEach((hand, index) => {
      if (hand.answer || (refused && refusedClaimKeepsTicket && hand.lane === 'ordinary')) return
      offer('carrier', `${name} claims ${listOf(hand.take)}`, (next) => runClaim(world, next, at, index))
    })
  })
}

function runClaim(world: World, next: State, at: number, index: number): void {
  const process = processAt(next, at)
  const hand = item(process.hands, index)
  const taken = claim(world, next, process.id, hand.take, hand.lane)
  if (!taken?.length) process.hands = dropAt(process.hands, index)
  else process.hands[index] = { ...hand, answer: taken, under: process.id }
}

/** `Ownership.adopt`: the process learns what it has claimed, acknowledges the ticket, and runs the jobs. */
export const learnAnswer: Transition = (now, { rules }, offer) => {
  eachProcess(now, (process, at, name) => {
    process.hands.forEach(({ answer }, index) => {
      if (!answer) return
      const taken = answer.reduce((jobs, { job }) => jobs | only(job), 0)
      offer('carrier', `${name} learns that it has claimed ${listOf(taken)}`, (next) => {
        const mine = processAt(next, at)
        const hand = item(mine.hands, index)
        mine.hands = dropAt(mine.hands, index)
        if (hand.under === mine.id || !rules.lateAnswersIgnored) adopt(mine, hand)
      })
    })
  })
}

function adopt(process: Process, { lane, answer = [] }: Hand): void {
  for (const { job, epoch } of answer) {
    for (const run of process.runs) if (run.job === job) run.known = false // memory holds one run of a job
    process.runs.push({ job, epoch, lane, stage: 'running', known: true })
  }
}
