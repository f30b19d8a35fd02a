/** Deliveries at once, as a multiple of the jobs at once of other queues: they wait for strangers nearly all of their time. */
export const deliveriesPerSlot = 10

/** @returns how many deliveries an endpoint may have in flight that has so many. */
export type Share = (inFlight: number) => number

/** Who shares the slots for deliveries. */
export interface Sharing {
  /** Jobs at once in an ordinary queue, of all processes that deliver; 0 when none is known, which bounds nothing. */
  readonly concurrency: number
  /** Endpoints that have something in flight, or wait to have. */
  readonly endpoints: number
  /** Deliveries in flight, of all of them. */
  readonly inFlight: number
}

/**
 * Divides the slots of all processes among the endpoints, so that slow receivers cannot hold them all, however many they are. Half of the
 * slots go to whoever can use them; each endpoint always has its part of the other half, and one at least.
 */
export function shareOf({ concurrency, endpoints, inFlight }: Sharing): Share {
  if (concurrency === 0) return () => Infinity
  const half = (concurrency * deliveriesPerSlot) / 2
  const own = Math.max(Math.floor(half / endpoints), 1)
  const more = Math.max(Math.floor((half - inFlight) / endpoints), 0)
  return (held) => Math.max(own, held + more)
}
