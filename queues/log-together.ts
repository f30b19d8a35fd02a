/** Least time between two lines about the same, in milliseconds: a server that is away fails thousands of requests a second. */
const tellEveryMs = 5_000

/** What we use of a logger. */
interface Warns {
  warn(details: object, sentence: string): void
}

/**
 * Logs errors that come in crowds: the first one at once, later ones together.
 *
 * @param unit what is counted, as the name of a field.
 * @returns what is to be told of each, or of several at once.
 */
export function logTogether(log: Warns, unit: string, sentence: string): (error: unknown, count?: number) => void {
  let count = 0
  let lastError: unknown
  let quiet = false
  const tell = () => {
    quiet = count > 0
    if (!quiet) return
    log.warn({ err: lastError, [unit]: count }, sentence)
    count = 0
    setTimeout(tell, tellEveryMs).unref()
  }
  return (error, more = 1) => {
    count += more
    lastError = error
    if (!quiet) tell()
  }
}

/** Logs tickets that may not have been sent. */
export function logLostTickets(log: Warns): (error: Error, tickets: number) => void {
  return logTogether(log, 'tickets', 'Tickets may be lost; a worker will find their jobs')
}
