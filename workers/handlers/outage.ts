import { heldUp } from '@jobyard/db/behind'
import { SnoozeError } from '@jobyard/queues/errors'

/**
 * Bounds of the waits, in milliseconds: one restart is soon over, and a job may be claimed 1,000 times, which is a week of the longest wait,
 * for which events are kept at least.
 */
const shortestWaitMs = 2_000
const longestWaitMs = 600_000
/** Share of a wait by which it is spread: an outage may have stopped many. */
const spread = 0.5

/** Trouble on the platform's side, which is no fault of a job or of a receiver: it spends no attempt. */
export class Outage {
  #since: number | undefined
  /** When whoever it has stopped has long tried again, if it was not over. */
  #knownUntil = 0

  /** @returns what a job that it stops is to throw: it waits half as long as the outage has lasted. */
  snooze(message: string): SnoozeError {
    const now = performance.now()
    if (this.#since === undefined || now > this.#knownUntil) this.#since = now
    const waitMs = Math.min(Math.max((now - this.#since) / 2, shortestWaitMs), longestWaitMs)
    this.#knownUntil = now + 10 * waitMs
    return new SnoozeError(waitMs * (1 + spread * Math.random()), message, heldUp)
  }

  /** What was away has answered. */
  end(): void {
    this.#since = undefined
  }
}

/** That of the egress proxy, for all that this process requests. */
export const egressOutage = new Outage()
