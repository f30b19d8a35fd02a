import type { Invariant } from './invariants.ts'

/** Jobs as bits: the ids of a ticket, which are claimed in ascending order. */
export type JobSet = number

export const statuses = ['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled'] as const
export type Status = (typeof statuses)[number]

export const outcomes = ['completed', 'failed', 'cancelled', 'snoozed'] as const
export type Outcome = (typeof outcomes)[number]

/** What a process does about a job: its handler is at work, or at work though told to stop, or has ended with an outcome. */
export const stages = ['running', 'aborted', ...outcomes] as const
export type Stage = (typeof stages)[number]

/** A ticket takes ordinary jobs, polling takes suspects. */
export type Lane = 'ordinary' | 'suspect'

/** A row of `jobs`. `epoch` counts claims; only whether two of them are the same matters. */
export interface Job {
  status: Status
  epoch: number
  /** Id of the process that runs it; 0 when nobody does. */
  worker: number
  crashes: number
  /** Attempts that failed. */
  attempts: number
  cancelAsked: boolean
  /** Ticketed for longer than the margin when the probe that is out was stamped. */
  old: boolean
  /** The process that ran it was brought down by another job. Not in the record: for the invariants. */
  felled: boolean
}

/** A row of one claim, as the process that claimed it knows it. */
export interface Claimed {
  readonly job: number
  readonly epoch: number
}

/** Jobs that a process is about to claim: those of a ticket between fetch and acknowledgement, or a suspect it has found. */
export interface Hand {
  readonly lane: Lane
  /** The whole ticket, which comes again unless it is acknowledged; empty for a suspect. */
  readonly ticket: JobSet
  /** Those to be claimed, one for each slot in hand. */
  readonly take: JobSet
  /** What the claim took; its answer is on the way. Undefined until the claim is executed. */
  answer?: readonly Claimed[] | undefined
  /** Id under which it was claimed. */
  under: number
}

/** A claimed job in the memory of a process. */
export interface Run extends Claimed {
  readonly lane: Lane
  stage: Stage
  /** False once it was aborted or given up: the ownership check does not find it. */
  known: boolean
}

/** A worker process. */
export interface Process {
  up: boolean
  /** Its id in the record; 0 when it is down. */
  id: number
  hands: Hand[]
  runs: Run[]
  /** Set while it stops: the jobs whose tickets it sends last. */
  leaving?: JobSet | undefined
}

/** A ticket on its way to the carrier. */
export interface Send {
  readonly jobs: JobSet
  readonly atHead: boolean
}

/** A statement that its process has given up, and that may be executed all the same. */
export type Late =
  | { readonly kind: 'claim'; readonly worker: number; readonly jobs: JobSet; readonly lane: Lane }
  | { readonly kind: 'settle'; readonly run: Claimed; readonly outcome: Outcome }

/** Everything that the next step can depend on. */
export interface State {
  /** What may still happen. */
  faults: number
  cancels: number
  shutdowns: number
  jobs: Job[]
  processes: Process[]
  /** Ids in the table `workers`. */
  workers: number[]
  /** Next free id. */
  nextId: number
  /** The queue in the carrier; a ticket without jobs is the probe. */
  queue: JobSet[]
  /** Tickets that a dead process had fetched: the carrier will give them out again. */
  stalled: JobSet[]
  sends: Send[]
  late: Late[]
  /** Invariants that the step to this state broke. Not part of the state. */
  breaches: Invariant[]
}

/** A ticket that is the probe. */
export const probe: JobSet = 0

/** Crashes that make a job a suspect. */
export const suspectCrashes = 2
/** Crashes that fail a job. */
export const maxCrashes = 3

const memberLists: readonly (readonly number[])[] = Array.from({ length: 16 }, (_, set) =>
  [0, 1, 2, 3].filter((job) => set & (1 << job)),
)

/** @returns the jobs of a set, in ascending order. */
export function members(set: JobSet): readonly number[] {
  return item(memberLists, set)
}

/** @returns the set of one job. */
export function only(job: number): JobSet {
  return 1 << job
}

/** @returns the first `count` jobs of a set. */
export function firstOf(set: JobSet, count: number): JobSet {
  return members(set)
    .slice(0, Math.max(count, 0))
    .reduce((first, job) => first | only(job), 0)
}

/** @throws RangeError when the list is shorter than that. */
export function item<T>(list: readonly T[], index: number): T {
  const found = list[index]
  if (found === undefined) throw new RangeError(`There is no item ${index}`)
  return found
}

/** @returns whether a status is terminal. */
export function isTerminal({ status }: Job): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}

/** @returns whether a job runs alone, and has no ticket. */
export function isSuspect({ crashes }: Job): boolean {
  return crashes >= suspectCrashes
}

/** @returns whether the handler is at work, so that it can bring its process down. */
export function isAtWork({ stage }: Run): boolean {
  return stage === 'running' || stage === 'aborted'
}

/** @returns the jobs that run under an id, as the record has it. */
export function ownedBy({ jobs }: State, worker: number): JobSet {
  return select(jobs, (job) => job.status === 'running' && job.worker === worker)
}

/** @returns the set of the jobs for which `wanted` holds. */
export function select(jobs: readonly Job[], wanted: (job: Job, index: number) => boolean): JobSet {
  return jobs.reduce((set, job, index) => (wanted(job, index) ? set | only(index) : set), 0)
}
