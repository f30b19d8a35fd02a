import type { Logger } from 'pino'
import type { TicketSenderOptions } from './tickets.ts'

/** Least time between two lines about it, in milliseconds: a dead carrier loses hundreds of tickets a second. */
const tellEveryMs = 5_000

/** Logs tickets that may not have been sent: the first ones at once, later ones together. */
export function logLostTickets(log: Logger): TicketSenderOptions['onLost'] {
  let lost = 0
  let lastError: Error | undefined
  let quiet = false
  const tell = () => {
    quiet = lost > 0
    if (!quiet) return
    log.warn({ err: lastError, tickets: lost }, 'Tickets may be lost; a worker will find their jobs')
    lost = 0
    setTimeout(tell, tellEveryMs).unref()
  }
  return (error, tickets) => {
    lost += tickets
    lastError = error
    if (!quiet) tell()
  }
}
