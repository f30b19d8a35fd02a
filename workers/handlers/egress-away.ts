import { EgressProxyError } from '@jobyard/outbound/egress-proxy'
import { SnoozeError } from '@jobyard/queues/errors'

/** Wait before a job asks the egress proxy again, in milliseconds, and share of it by which waits are spread: an outage may have stopped many. */
const waitMs = 30_000
const spread = 0.5

/** @throws SnoozeError when the egress proxy is away, which is no fault of the job or of the receiver: no attempt is spent on it. */
export function snoozeWhileEgressIsAway(error: unknown): void {
  if (error instanceof EgressProxyError) throw new SnoozeError(waitMs * (1 + spread * Math.random()), error.message)
}
