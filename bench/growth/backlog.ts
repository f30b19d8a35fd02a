import { newId } from '@jobyard/db/ids'
import type { CarrierKind } from '../accept/contestants.ts'
import type { Place } from '../accept/rivals.ts'
import { runChild } from '../child.ts'
import type { Target } from '../process/contestant.ts'

/** What {@link runChild} asks of `backlog-process.ts`. */
export interface BacklogRequest {
  readonly carrier: CarrierKind
  /** Queue of the jobs; one of their own when absent. */
  readonly queue?: string
  readonly target: Target
  /** How many of the jobs that wait are to be done; 0: the jobs are to be loaded. */
  readonly take: number
}

const program = new URL('./backlog-process.ts', import.meta.url)
/** Time that one call may take, in milliseconds. */
const timeoutMs = 600_000

/** Has so many jobs wait, by the platform's own intake. */
export async function loadBacklog(place: Place, carrier: CarrierKind, jobs: number, queue?: string): Promise<void> {
  await ask({ carrier, ...(queue !== undefined && { queue }), target: targetAt(place, jobs), take: 0 })
}

/**
 * Has one worker process do the first of the jobs that wait, and checks that what it did is recorded and the others wait still.
 *
 * @param waiting how many there are.
 * @returns jobs per second.
 */
export function takeFirst(place: Place, carrier: CarrierKind, waiting: number, take: number): Promise<number> {
  return ask({ carrier, target: targetAt(place, waiting), take })
}

function ask(request: BacklogRequest): Promise<number> {
  return runChild<number>(program, request, timeoutMs)
}

function targetAt(place: Place, jobs: number): Target {
  return { ...place, jobs, firstId: newId() }
}
