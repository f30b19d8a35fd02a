import { breach } from './judgement.ts'
import {
  isSuspect,
  isTerminal,
  item,
  maxCrashes,
  members,
  only,
  ownedBy,
  select,
  type Claimed,
  type Job,
  type JobSet,
  type Lane,
  type Outcome,
  type State,
  type Status,
} from './state.ts'
import type { World } from './world.ts'

/*
 * The statements of `db/`. Each is one step, as it is one statement there.
 */

/**
 * `claimJobs`: queued rows of this lane become running, epoch + 1.
 *
 * @returns the rows that were taken; undefined when the process's own workers row is gone.
 */
export function claim({ rules }: World, state: State, worker: number, jobs: JobSet, lane: Lane): Claimed[] | undefined {
  if (rules.claimNeedsWorkerRow && !state.workers.includes(worker)) return undefined
  const taken: Claimed[] = []
  for (const id of members(jobs)) {
    const job = item(state.jobs, id)
    if (isTerminal(job) || (rules.claimOnlyQueued && job.status !== 'queued')) continue
    if (rules.ticketsSkipSuspects && isSuspect(job) !== (lane === 'suspect')) continue
    job.status = 'running'
    job.epoch += 1
    job.worker = worker
    job.old = false
    taken.push({ job: id, epoch: job.epoch })
  }
  return taken
}

/** `settleAttempts`: a row that is running under this epoch becomes what its outcome says. */
export function settle(world: World, state: State, { job: id, epoch }: Claimed, outcome: Outcome): void {
  const { rules, scenario } = world
  const job = item(state.jobs, id)
  const matches =
    (job.status === 'running' || !rules.settleOnlyRunning) && (job.epoch === epoch || !rules.settleNamesEpoch)
  if (!matches) {
    const kept = scenario.transaction && outcome === 'completed' && !rules.transactionEndsWithSettle
    if (kept) breach(state, 'effects without completion')
    return
  }
  if (job.epoch !== epoch) breach(state, 'write of an old epoch')
  if (outcome === 'failed') job.attempts += 1
  if (outcome === 'completed' || outcome === 'cancelled') end(world, state, job, outcome, true)
  else if (job.attempts > scenario.retries) end(world, state, job, 'failed', true)
  else if (rules.retryHonoursCancel && job.cancelAsked) end(world, state, job, 'cancelled', true)
  else leaveRunning(job, 'retrying')
}

/** `handBack`: rows of this process go back to their queue. @returns those that now want a ticket. */
export function handBack(world: World, state: State, worker: number, jobs = ownedBy(state, worker)): JobSet {
  return requeue(world, state, jobs, false)
}

/** `requeueOrphans`: rows of dead processes go back to their queue, with one crash more. @returns those that now want a ticket. */
export function requeueOrphans(world: World, state: State): JobSet {
  return requeue(world, state, orphans(state), true)
}

/** @returns running rows whose process has no workers row. */
export function orphans({ jobs, workers }: State): JobSet {
  return select(jobs, ({ status, worker }) => status === 'running' && !workers.includes(worker))
}

/** The one way out of running back to queued: a pending cancellation and the third crash end the job instead. */
export function requeue(world: World, state: State, jobs: JobSet, crashed: boolean): JobSet {
  let queued = 0
  for (const id of members(jobs)) {
    const job = item(state.jobs, id)
    if (crashed) job.crashes += 1
    if (world.rules.requeueHonoursCancel && job.cancelAsked) end(world, state, job, 'cancelled')
    else if (crashed && job.crashes >= maxCrashes) {
      if (isInnocent(world, job, id)) breach(state, 'innocent failed')
      end(world, state, job, 'failed')
    } else {
      leaveRunning(job, 'queued')
      queued |= only(id)
    }
  }
  return queued
}

/** Whether a job's third crash was not its own: another job brought the process down, or three processes never died. */
function isInnocent({ scenario }: World, { felled }: Job, id: number): boolean {
  if (scenario.poison & only(id)) return false
  return felled || (scenario.poison === 0 && scenario.faults < maxCrashes)
}

/** `promoteDue`: a row whose time has come is queued again. */
export function promote(state: State, id: number): void {
  item(state.jobs, id).status = 'queued'
}

/** `sweepLost`: queued rows that are older than the probe. @returns those that now want a ticket. */
export function sweepLost(state: State): JobSet {
  const lost = select(state.jobs, (job) => job.status === 'queued' && job.old && !isSuspect(job))
  for (const job of state.jobs) job.old = false
  return lost
}

/** `cancelJob`: a live job that is not running is cancelled; a running one is asked. */
export function cancel(world: World, state: State, id: number): void {
  const job = item(state.jobs, id)
  if (job.status === 'running') job.cancelAsked = true
  else end(world, state, job, 'cancelled')
}

/** Drops the late statements that can change nothing any more, whenever they are executed. */
export function forgetPowerless({ rules }: World, state: State): void {
  if (state.late.length === 0) return
  state.late = state.late.filter((late) => {
    if (late.kind === 'claim') return !rules.claimNeedsWorkerRow || state.workers.includes(late.worker)
    const { status, epoch } = item(state.jobs, late.run.job)
    if (!rules.settleOnlyRunning || !rules.settleNamesEpoch) return true
    return status === 'running' && epoch === late.run.epoch
  })
}

function leaveRunning(job: Job, status: Status): void {
  job.status = status
  job.worker = 0
  job.old = false
  job.felled = false
}

/** What every statement that ends a job has in common (`db/endings.ts`). */
function end({ rules }: World, state: State, job: Job, status: Status, settled = false): void {
  if (isTerminal(job)) breach(state, 'ended twice')
  if (!settled && !rules.endingWritesEvent) breach(state, 'ended without its event')
  leaveRunning(job, status)
}
