import type { Invariant } from './invariants.ts'
import { isAtWork, item, members, type State } from './state.ts'
import type { World } from './world.ts'

/** Tickets of one job at once, wherever they are: more are taken for a flood. */
export const maxTickets = 8

/** Notes that a step broke an invariant. */
export function breach(state: State, invariant: Invariant): void {
  state.breaches.push(invariant)
}

/** @returns the invariants that do not hold in a state. */
export function brokenIn(state: State, world: World): Invariant[] {
  const broken: Invariant[] = []
  if (state.jobs.some((_, job) => ownersRunning(state, job) > 1)) broken.push('two runs')
  if (isCrowded(state, world)) broken.push('above concurrency')
  if (state.jobs.some((job) => job.cancelAsked && (job.status === 'queued' || job.status === 'retrying')))
    broken.push('cancellation forgotten')
  if (mostTickets(state) > maxTickets) broken.push('too many tickets')
  return broken
}

/** Counts the processes that run a job, and were neither declared dead nor told to stop. */
function ownersRunning({ processes, workers }: State, job: number): number {
  let running = 0
  for (const { up, id, runs } of processes) {
    if (!up || !workers.includes(id)) continue
    for (const run of runs) if (run.job === job && run.stage === 'running') running += 1
  }
  return running
}

function isCrowded({ processes }: State, { scenario }: World): boolean {
  return processes.some(({ runs }) => {
    const atWork = runs.filter((run) => run.lane === 'ordinary' && isAtWork(run))
    return atWork.length > scenario.slots
  })
}

/** @returns how many tickets the job that has most of them has: on their way, in the carrier, and in hand. */
export function mostTickets({ jobs, sends, queue, stalled, processes }: State): number {
  const counts = jobs.map(() => 0)
  const count = (set: number) => {
    for (const job of members(set)) counts[job] = item(counts, job) + 1
  }
  for (const send of sends) count(send.jobs)
  for (const ticket of queue) count(ticket)
  for (const ticket of stalled) count(ticket)
  for (const { hands } of processes) for (const hand of hands) count(hand.ticket)
  return Math.max(...counts)
}
