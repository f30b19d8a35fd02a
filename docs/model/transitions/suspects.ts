import { isAtWork, isSuspect, item, members, only, ownedBy, type Process, type State } from '../state.ts'
import { eachProcess, processAt, type Transition } from '../step.ts'
import type { World } from '../world.ts'

/** `Suspects`: a process finds a suspect, which it claims next. Which one is left open; the platform takes the oldest. */
export const findSuspect: Transition = (now, world, offer) => {
  if (!world.rules.suspectsArePolled) return
  eachProcess(now, (process, at, name) => {
    if (!looksForSuspects(now, process, world)) return
    now.jobs.forEach((job, id) => {
      if (job.status !== 'queued' || !isSuspect(job)) return
      offer('progress', `${name} finds suspect ${id}`, (next) => {
        processAt(next, at).hands.push({ lane: 'suspect', ticket: 0, take: only(id), under: 0 })
      })
    })
  })
}

function looksForSuspects(now: State, process: Process, { rules }: World): boolean {
  const { leaving, hands, runs } = process
  const suspects = runs.filter(({ lane }) => lane === 'suspect')
  const others = runs.filter(({ lane }) => lane === 'ordinary')
  if (leaving !== undefined || hands.some(({ lane }) => lane === 'suspect')) return false
  if (rules.suspectsOneAtATime && suspects.some(isAtWork)) return false
  if (rules.suspectsAwaitOutcome && suspects.some((run) => run.known && !isAtWork(run))) return false
  if (rules.doubtIsWaitedOut && isInDoubt(now, process)) return false
  return !(rules.suspectsRunAlone && (hands.length > 0 || others.some(isAtWork)))
}

/** Whether a claim of a suspect was given up that may yet be executed, or has taken one that the ownership check has not given back. */
function isInDoubt(now: State, { id, runs }: Process): boolean {
  const known = runs.reduce((jobs, run) => jobs | (run.known ? only(run.job) : 0), 0)
  const unknown = members(ownedBy(now, id) & ~known).some((job) => isSuspect(item(now.jobs, job)))
  return unknown || now.late.some((late) => late.kind === 'claim' && late.lane === 'suspect' && late.worker === id)
}
