import { asBuilt, type Rules } from './rules.ts'
import type { JobSet, State } from './state.ts'

/** What may go wrong. */
export type FaultKind =
  | 'lost send'
  | 'doubled send'
  | 'slow send'
  | 'lost answer'
  | 'late statement'
  | 'ticket comes again'
  | 'crash'
  | 'crash while sending'
  | 'pause'
  | 'cut off'
  | 'wipe'

/** How large a world is, and what may happen in it. */
export interface Scenario {
  readonly name: string
  /** All are accepted together, and share a ticket. Up to four. */
  readonly jobs: number
  readonly processes: number
  /** Jobs that a process runs at once, beside a suspect. */
  readonly slots: number
  /** Attempts that may fail before the job does. With 0 a handler always completes. */
  readonly retries: number
  /** Jobs that bring their process down each time they run. */
  readonly poison: JobSet
  /** Whether handlers end with a transaction of their own. */
  readonly transaction: boolean
  readonly faults: number
  /** Those that may happen; all when absent. */
  readonly kinds?: readonly FaultKind[]
  readonly cancels: number
  readonly shutdowns: number
  /** Whether probes are sent. Where no ticket is lost they only multiply the states. */
  readonly probe: boolean
  /** Too large for every run of CI. */
  readonly large?: boolean
}

/** A scenario under some rules. */
export interface World {
  readonly scenario: Scenario
  readonly rules: Rules
}

/** @returns the world of a scenario, under the rules of the platform as it is unless told otherwise. */
export function worldOf(scenario: Partial<Scenario> & { name: string }, rules: Rules = asBuilt): World {
  const small = { jobs: 1, processes: 2, slots: 1, retries: 0, poison: 0, transaction: false, probe: true }
  const world = { ...small, faults: 0, cancels: 0, shutdowns: 0, ...scenario }
  return { scenario: world, rules: { ...rules, probeFindsLost: rules.probeFindsLost && world.probe } }
}

/** @returns the state after intake: the rows are committed, their ticket is not sent, every process is up. */
export function initialState({ scenario }: World): State {
  const { jobs, processes, faults, cancels, shutdowns } = scenario
  return {
    faults,
    cancels,
    shutdowns,
    jobs: Array.from({ length: jobs }, () => ({
      status: 'queued' as const,
      epoch: 0,
      worker: 0,
      crashes: 0,
      attempts: 0,
      cancelAsked: false,
      old: false,
      felled: false,
    })),
    processes: Array.from({ length: processes }, (_, index) => ({
      up: true,
      id: index + 1,
      hands: [],
      runs: [],
    })),
    workers: Array.from({ length: processes }, (_, index) => index + 1),
    nextId: processes + 1,
    queue: [],
    stalled: [],
    sends: [{ jobs: (1 << jobs) - 1, atHead: false }],
    late: [],
    breaches: [],
  }
}
