import { settle } from '../statements.ts'
import { isAtWork, item, only, outcomes, ownedBy, members, type Outcome, type Run, type State } from '../state.ts'
import { dropAt, eachProcess, processAt, type Transition } from '../step.ts'
import type { World } from '../world.ts'
import { crash } from './processes.ts'
import { sendTickets } from './tickets.ts'

/** `runAttempt`: a handler ends, so that its slot is free. */
export const endHandler: Transition = (now, world, offer) => {
  eachProcess(now, (process, at, name) => {
    process.runs.forEach((run, index) => {
      if (!isAtWork(run) || isPoison(run, world)) return
      if (run.stage === 'aborted') {
        offer('progress', `${name}: the aborted handler of ${run.job} ends`, (next) => forget(next, at, index))
        return
      }
      for (const outcome of outcomesOf(run, now, world)) {
        offer('progress', `${name}: the handler of ${run.job} ends: ${outcome}`, (next) => {
          item(processAt(next, at).runs, index).stage = outcome
        })
      }
    })
  })
}

function outcomesOf({ job: id, epoch }: Run, { jobs }: State, { scenario }: World): Outcome[] {
  const job = item(jobs, id)
  const found: Outcome[] = ['completed']
  if (scenario.retries > 0) found.push('failed')
  if (job.cancelAsked && job.epoch === epoch) found.push('cancelled') // the ownership check has told the handler
  return found
}

/** A poison job brings its process down. */
export const killByPoison: Transition = (now, world, offer) => {
  eachProcess(now, ({ runs }, at, name) => {
    for (const run of runs) {
      if (!isAtWork(run) || !isPoison(run, world)) continue
      offer('progress', `POISON: job ${run.job} brings ${name} down`, (next) => {
        const { id } = processAt(next, at)
        for (const job of members(ownedBy(next, id) & ~only(run.job))) item(next.jobs, job).felled = true
        crash(next, at)
      })
    }
  })
}

function isPoison({ job }: Run, { scenario }: World): boolean {
  return (scenario.poison & only(job)) !== 0
}

/** `Settlements`: an outcome is settled. That no row changed means that it had landed before, or that it was fenced. */
export const settleOutcome: Transition = (now, world, offer) => {
  eachOutcome(now, (run, outcome, at, index, name) => {
    offer('progress', `${name} settles ${run.job} as ${outcome}`, (next) => {
      settle(world, next, run, outcome)
      if (!world.rules.tickerQueuesRetries) sendDelayed(next, run.job)
      forget(next, at, index)
    })
  })
}

/** What the protocol does not do: a job that is retried gets a ticket with a delay, and nothing else. */
function sendDelayed(state: State, id: number): void {
  if (item(state.jobs, id).status === 'retrying') sendTickets(state, only(id))
}

/** Calls `visit` for each outcome that is not in the record yet, as far as its process knows. */
export function eachOutcome(
  now: State,
  visit: (run: Run, outcome: Outcome, at: number, index: number, name: string) => void,
): void {
  eachProcess(now, ({ runs }, at, name) => {
    runs.forEach((run, index) => {
      const outcome = outcomes.find((each) => each === run.stage)
      if (outcome) visit(run, outcome, at, index, name)
    })
  })
}

function forget(state: State, at: number, index: number): void {
  const process = processAt(state, at)
  process.runs = dropAt(process.runs, index)
}
