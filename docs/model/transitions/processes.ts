import { handBack, requeueOrphans, orphans } from '../statements.ts'
import { item, members, only, ownedBy, type JobSet, type Process, type State } from '../state.ts'
import { eachProcess, listOf, nameOf, processAt, type Transition } from '../step.ts'
import type { World } from '../world.ts'
import { passOn, sendTickets } from './tickets.ts'

/** A process ends without a word: its workers row, its rows and its tickets stay behind. */
export function crash(state: State, at: number): void {
  const process = processAt(state, at)
  for (const { ticket } of process.hands) if (ticket) state.stalled.push(ticket)
  end(process)
}

function end(process: Process): void {
  Object.assign(process, { up: false, id: 0, hands: [], runs: [], leaving: undefined })
}

/** A dead process is started again, under a new id. */
export const restart: Transition = (now, _, offer) => {
  now.processes.forEach(({ up }, at) => {
    if (!up) offer('progress', `${nameOf(at)} is started again`, (next) => register(next, processAt(next, at)))
  })
}

function register(state: State, process: Process): void {
  process.up = true
  process.id = state.nextId
  state.nextId += 1
  state.workers.push(process.id)
}

/** `Reconciler.reap`: the workers row of a process that is gone is deleted. */
export const reapDead: Transition = (now, world, offer) => {
  for (const id of now.workers) {
    if (now.processes.some((process) => process.id === id)) continue
    offer('progress', 'a process that gives no sign of life is declared dead', (next) => reap(world, next, id))
  }
}

/** Deletes a workers row. What runs under it is an orphan from now on. */
export function reap(world: World, state: State, id: number): void {
  state.workers = state.workers.filter((each) => each !== id)
  if (!world.rules.orphansByAntiJoin) sendTickets(state, requeueOrphans(world, state))
}

/** `Reconciler.requeueOrphans`. */
export const rescueOrphans: Transition = (now, world, offer) => {
  if (!world.rules.orphansByAntiJoin) return
  const lost = orphans(now)
  if (lost)
    offer('progress', `orphans ${listOf(lost)} are charged a crash`, (next) =>
      sendTickets(next, requeueOrphans(world, next)),
    )
}

/** `Heartbeat`, when its row is gone: the process aborts its runs and starts over under a new id. */
export const startOver: Transition = (now, { rules }, offer) => {
  eachProcess(now, ({ id, leaving }, at, name) => {
    if (now.workers.includes(id) || leaving !== undefined) return
    offer('progress', `${name} finds that it was declared dead, and starts over`, (next) => {
      const process = processAt(next, at)
      if (rules.declaredDeadStartsOver) {
        abortAll(process)
        register(next, process)
      } else next.workers.push(id)
    })
  })
}

/** `Ownership.abortAll`: a process forgets its runs; handlers stop when they please, outcomes are still settled. */
export function abortAll(process: Process): void {
  for (const run of process.runs) {
    run.known = false
    if (run.stage === 'running') run.stage = 'aborted'
  }
}

/**
 * `Heartbeat`: the ownership check. One step, though it reads first and hands back then: what it hands back it names by id and
 * epoch, and a claim that memory has given up does not come to be known.
 */
export const checkOwnership: Transition = (now, world, offer) => {
  eachProcess(now, (process, _, name) => {
    if (!now.workers.includes(process.id) || process.leaving !== undefined) return
    const unknown = unknownRows(now, process, world)
    if (!unknown) return
    offer('progress', `${name} checks what it owns, and hands ${listOf(unknown)} back`, (next) =>
      sendTickets(next, handBack(world, next, process.id, unknown)),
    )
  })
}

function unknownRows(now: State, { id, runs, hands }: Process, { rules }: World): JobSet {
  if (!rules.ownershipCheck) return 0
  let unknown = ownedBy(now, id)
  for (const job of members(unknown)) {
    const { epoch } = item(now.jobs, job)
    const isKnown = runs.some((run) => run.known && run.job === job && run.epoch === epoch)
    const isAwaited = rules.checkSparesAwaited && hands.some(({ take }) => take & only(job))
    if (isKnown || isAwaited) unknown &= ~only(job)
  }
  return unknown
}

/** `supervisor.ts`: a process is told to stop. It passes on the tickets in hand and hands back what it runs. */
export const shutDown: Transition = (now, world, offer) => {
  if (now.shutdowns === 0) return
  eachProcess(now, ({ leaving }, at, name) => {
    if (leaving !== undefined) return
    offer('choice', `${name} is told to stop, and hands back what it runs`, (next) => {
      next.shutdowns -= 1
      const process = processAt(next, at)
      const mine = ownedBy(next, process.id)
      if (world.rules.handBackBeforeTickets) process.leaving = handBack(world, next, process.id)
      else sendTickets(next, (process.leaving = mine))
      dropHands(next, process)
      process.runs = []
    })
  })
}

/** A ticket whose claim is not answered stays unacknowledged, and comes again. */
function dropHands(state: State, process: Process): void {
  for (const { answer, ticket, take } of process.hands) {
    if (answer && ticket) state.stalled.push(ticket)
    else if (ticket) passOn(state, take)
  }
  process.hands = []
}

/** A process that has handed back deletes its row, sends the last tickets, and exits. */
export const exit: Transition = (now, world, offer) => {
  eachProcess(now, ({ leaving }, at, name) => {
    if (leaving === undefined) return
    offer('progress', `${name} deletes its row, sends its last tickets, and exits`, (next) => {
      const process = processAt(next, at)
      if (world.rules.handBackBeforeTickets) sendTickets(next, leaving)
      else handBack(world, next, process.id)
      next.workers = next.workers.filter((id) => id !== process.id)
      end(process)
    })
  })
}
