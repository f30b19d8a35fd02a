import { breach } from '../judgement.ts'
import { cancel, promote } from '../statements.ts'
import { isTerminal, item, only } from '../state.ts'
import type { Transition } from '../step.ts'
import { sendTickets } from './tickets.ts'

/** `Ticker`: a row whose time has come goes to its queue. */
export const promoteDue: Transition = (now, { rules }, offer) => {
  if (!rules.tickerQueuesRetries) return
  now.jobs.forEach((job, id) => {
    if (job.status !== 'retrying') return
    offer('progress', `the time of ${id} has come`, (next) => {
      promote(next, id)
      sendTickets(next, only(id))
    })
  })
}

/** A client cancels a job. */
export const cancelJob: Transition = (now, world, offer) => {
  if (now.cancels === 0) return
  now.jobs.forEach((job, id) => {
    if (isTerminal(job)) return
    offer('choice', `the client cancels ${id}`, (next) => {
      next.cancels -= 1
      cancel(world, next, id)
    })
  })
}

/** What the protocol does not do: a redrive puts the same row back. With the rule it makes a new job, which is a world of its own. */
export const redriveInPlace: Transition = (now, { rules }, offer) => {
  if (rules.terminalIsFinal) return
  now.jobs.forEach((job, id) => {
    if (job.status !== 'failed' && job.status !== 'cancelled') return
    offer('choice', `the client redrives ${id}`, (next) => {
      item(next.jobs, id).status = 'queued'
      breach(next, 'left a terminal status')
    })
  })
}
