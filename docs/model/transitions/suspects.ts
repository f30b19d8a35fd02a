import { isAtWork, isSuspect, only, type Process } from '../state.ts'
import { eachProcess, processAt, type Transition } from '../step.ts'
import type { World } from '../world.ts'

/** `Suspects`: a process finds a suspect, which it claims next. Which one is left open; the platform takes the oldest. */
export const findSuspect: Transition = (now, world, offer) => {
  if (!world.rules.suspectsArePolled) return
  eachProcess(now, (process, at, name) => {
    if (!looksForSuspects(process, world)) return
    now.jobs.forEach((job, id) => {
      if (job.status !== 'queued' || !isSuspect(job)) return
      offer('progress', `${name} finds suspect ${id}`, (next) => {
        processAt(next, at).hands.push({ lane: 'suspect', ticket: 0, take: only(id), under: 0 })
      })
    })
  })
}

function looksForSuspects({ leaving, hands, runs }: Process, { rules }: World): boolean {
  const suspects = runs.filter(({ lane }) => lane === 'suspect')
  if (leaving !== undefined || hands.some(({ lane }) => lane === 'suspect')) return false
  if (rules.suspectsOneAtATime && suspects.some(isAtWork)) return false
  if (rules.suspectsAwaitOutcome && suspects.some((run) => run.known && !isAtWork(run))) return false
  return !(rules.suspectsRunAlone && (hands.length > 0 || runs.some(isAtWork)))
}
