import type { CarrierKind } from '@jobyard/testing/platform'

/** How one promise was broken, with all that is needed to understand it. */
export interface Violation {
  /** Number of the invariant in docs/reliability.md, e.g. `I2`. */
  readonly invariant: string
  readonly what: string
  /** What happened to the job concerned, one line per event, oldest first. */
  readonly timeline: readonly string[]
}

/** What one part of a run has found on one carrier. */
export interface Report {
  readonly part: string
  readonly carrier: CarrierKind
  readonly seed: number
  /** Jobs that the platform answered with 2xx while faults were active. */
  readonly accepted: number
  /** How often each fault was injected: `real` ones into processes, servers and networks, `exact` ones at one statement or call. */
  readonly faults: { readonly real: Record<string, number>; readonly exact: Record<string, number> }
  /** Jobs that were answered with 2xx, but are absent or did not end; with two results; ended without their event. */
  readonly lost: number
  readonly doubled: number
  readonly eventsMissing: number
  readonly violations: readonly Violation[]
  /** Times of recovery by their name, in milliseconds. */
  readonly recoveries: Record<string, readonly number[]>
  /** Further figures, by their name. */
  readonly figures: Record<string, number>
  readonly seconds: number
}

/** What a part of a run needs to know. */
export interface PartOptions {
  readonly carrier: CarrierKind
  readonly seed: number
  /** Rows of the table of faults that are tried; all when empty. */
  readonly rows: readonly number[]
  /** How long faults are injected, in minutes; parts that end by themselves scale their number of injections by it. */
  readonly minutes: number
  /** Gets one short line at each step. */
  readonly onProgress: (line: string) => void
}

/** One kind of trial. */
export type Part = (options: PartOptions) => Promise<Report>

/** @returns a report in which nothing has happened yet. */
export function emptyReport(part: string, { carrier, seed }: PartOptions): Report {
  return {
    part,
    carrier,
    seed,
    accepted: 0,
    faults: { real: {}, exact: {} },
    lost: 0,
    doubled: 0,
    eventsMissing: 0,
    violations: [],
    recoveries: {},
    figures: {},
    seconds: 0,
  }
}
