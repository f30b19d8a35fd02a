import type { JobStatus, Outcome } from '@jobyard/db/statuses'

/*
 * The state machine of docs/architecture.md once more, without SQL: what may become of one job. It shares no code with what it judges.
 */

/** A job as the state machine sees it. Times are minutes of the sequence's own clock. */
export interface Job {
  readonly tenant: string
  readonly priority: number
  readonly maxAttempts: number
  readonly internal: boolean
  readonly status: JobStatus
  readonly epoch: number
  readonly attemptsMade: number
  readonly crashes: number
  readonly cancelAsked: boolean
  /** What it shares with jobs that are one with it while it has not ended. */
  readonly deduplication?: string | undefined
  /** How its attempts ended that did not simply complete. */
  readonly outcomes: readonly Outcome[]
  /** Transactions of handlers that were committed for it. */
  readonly effects: number
  /** Worker process that runs it. */
  readonly owner?: string | undefined
  /** Why it failed. */
  readonly reason?: string | undefined
  readonly dueAt?: number | undefined
  readonly expiresAt?: number | undefined
  readonly ticketedAt?: number | undefined
  readonly endedAt?: number | undefined
}

/** What transitions depend on besides the job itself. */
export interface Around {
  readonly now: number
  readonly paused: boolean
  /** Beats of the worker processes that have a row. */
  readonly workers: ReadonlyMap<string, number>
  /** By tenant and idempotency key: the job that was accepted with it, and the hash of its request. */
  readonly keys: ReadonlyMap<string, { readonly id: string; readonly hash: string }>
  /** Other statements run at the same time, so that one that passes over locked rows may miss some. */
  readonly crowded: boolean
}

/** Where a transition leads, and what it answers about the job. */
export interface State {
  readonly job: Job | undefined
  readonly around: Around
  readonly answer?: string | undefined
}

/** What one statement makes of the job `id`; several states where each is right. */
export type Rule = (job: Job | undefined, around: Around, id: string) => State | readonly State[]

/** Stands for no job at all: what a rule does to the surroundings is judged under this id. */
export const nobody = ''

/** What a client asks for. */
export interface Submission {
  readonly id: string
  readonly tenant: string
  readonly priority: number
  readonly maxAttempts: number
  readonly internal: boolean
  /** Minutes from now. */
  readonly dueIn?: number | undefined
  /** Minutes from now. */
  readonly expiresIn?: number | undefined
  /** Never together with {@link deduplication}. */
  readonly key?: { readonly name: string; readonly hash: string } | undefined
  /** Unfinished jobs that share it are one. */
  readonly deduplication?: string | undefined
}

/** How a handler ended. */
export interface Ended {
  readonly outcome: Exclude<Outcome, 'handed_back' | 'crashed'>
  /** Of a failure: no attempt is left. */
  readonly permanent?: boolean
  /** It wrote something in the transaction that settled it. */
  readonly effect?: boolean
}

const suspectFrom = 2
const crashesAllowed = 3
const claimsAllowed = 1_000

const isSuspect = (job: Job) => job.crashes >= suspectFrom
const isWaiting = (job: Job) => job.status === 'scheduled' || job.status === 'retrying'
const hasEnded = (job: Job) => job.status === 'completed' || job.status === 'failed' || job.status === 'cancelled'

const nowhere = { owner: undefined, dueAt: undefined, ticketedAt: undefined }
const queued = (job: Job, { now }: Around): Job => ({ ...job, ...nowhere, status: 'queued', ticketedAt: now })
const ended = (job: Job, { now }: Around, status: JobStatus, reason?: string): Job => ({
  ...job,
  ...nowhere,
  status,
  reason,
  endedAt: now,
})

/** The job changes, or stays if a statement that passes over locked rows may have missed it. */
const unlessLocked = (job: Job, around: Around, changed: State): readonly State[] =>
  around.crowded ? [changed, { job, around }] : [changed]

/**
 * Intake of a batch: the first request with a key wins, the others are answered by it. One that shares a deduplication is answered by
 * a job that has not ended, or made if there is none: of each job that shares it the answer tells whether it `holds` or is `free`.
 */
export function submits(batch: readonly Submission[]): Rule {
  return (job, around, id) => {
    const shared = batch.some(({ deduplication }) => deduplication !== undefined)
    if (shared) return [...deduplicates(batch, job, around, id)]
    const keys = new Map(around.keys)
    const answers = batch.map((submission) => answerTo(submission, keys))
    const after = { ...around, keys }
    if (id === nobody) return { job, around: after, answer: answers.join() }
    const index = batch.findIndex((submission) => submission.id === id)
    const answer = answers[index]
    return { job: answer === 'accepted' ? accepted(batch[index] as Submission, around) : job, around: after, answer }
  }
}

/** @param batch all of which share deduplications. */
function deduplicates(batch: readonly Submission[], job: Job | undefined, around: Around, id: string): State[] {
  if (id === nobody) return [{ job, around }]
  const submission = batch.find((one) => one.id === id)
  if (submission)
    return [
      { job: accepted(submission, around), around, answer: 'accepted' },
      { job, around, answer: 'deduplicated' },
    ]
  if (!job) return [undefined, 'free'].map((answer) => ({ job, around, answer }))
  return [undefined, hasEnded(job) ? 'free' : 'holds'].map((answer) => ({ job, around, answer }))
}

function answerTo({ id, tenant, key }: Submission, keys: Map<string, { id: string; hash: string }>): string {
  if (!key) return 'accepted'
  const first = keys.get(`${tenant} ${key.name}`)
  if (!first) {
    keys.set(`${tenant} ${key.name}`, { id, hash: key.hash })
    return 'accepted'
  }
  return first.hash === key.hash ? `replayed ${first.id}` : 'key-reused'
}

function accepted(
  { tenant, priority, maxAttempts, internal, dueIn, expiresIn, deduplication }: Submission,
  around: Around,
): Job {
  const { now } = around
  const job: Job = {
    tenant,
    priority,
    maxAttempts,
    internal,
    status: 'scheduled',
    epoch: 0,
    attemptsMade: 0,
    crashes: 0,
    cancelAsked: false,
    deduplication,
    outcomes: [],
    effects: 0,
    expiresAt: expiresIn === undefined ? undefined : now + expiresIn,
  }
  return dueIn === undefined ? queued(job, around) : { ...job, dueAt: now + dueIn }
}

/** A claim takes what is queued, in its lane, not paused, not expired; for the living only. */
export function claims(worker: string, ids: readonly string[], lane: 'ordinary' | 'suspect' = 'ordinary'): Rule {
  return (job, around, id) => {
    if (!around.workers.has(worker)) return { job, around, answer: 'dead' }
    const takes = job?.status === 'queued' && ids.includes(id) && isSuspect(job) === (lane === 'suspect')
    if (!job || !takes || around.paused) return { job, around, answer: 'alive' }
    if ((job.expiresAt ?? Infinity) <= around.now)
      return { job: ended(job, around, 'failed', 'expired'), around, answer: 'alive' }
    if (job.epoch >= claimsAllowed)
      return { job: ended(job, around, 'failed', 'too_many_claims'), around, answer: 'alive' }
    const taken: Job = { ...job, ...nowhere, status: 'running', epoch: job.epoch + 1, owner: worker }
    return { job: taken, around, answer: `alive ${taken.epoch}` }
  }
}

/** A settlement ends the attempt of its epoch and no other. */
export function settles(runs: ReadonlyMap<string, { readonly epoch: number } & Ended>): Rule {
  return (job, around, id) => {
    const run = runs.get(id)
    if (!run || job?.status !== 'running' || job.epoch !== run.epoch) return { job, around }
    const settled = settledAs(job, run, around)
    return { job: settled, around, answer: settled.status }
  }
}

function settledAs(job: Job, { outcome, permanent, effect }: Ended, around: Around): Job {
  const spent = outcome === 'completed' || outcome === 'failed' || outcome === 'timed_out'
  const attemptsMade = job.attemptsMade + (spent ? 1 : 0)
  const outcomes = outcome === 'completed' ? job.outcomes : [...job.outcomes, outcome]
  const after: Job = { ...job, attemptsMade, outcomes, effects: job.effects + (effect ? 1 : 0) }
  if (outcome === 'completed' || outcome === 'cancelled') return ended(after, around, outcome)
  if (outcome !== 'snoozed' && (permanent || attemptsMade >= job.maxAttempts))
    return ended(after, around, 'failed', outcome === 'failed' ? 'error' : outcome)
  return job.cancelAsked
    ? ended(after, around, 'cancelled')
    : { ...after, ...nowhere, status: 'retrying', dueAt: around.now + 1, crashes: 0 }
}

/**
 * Handing back returns running jobs of a worker to their queue, at no cost.
 *
 * @param known runs that the worker keeps: it reads its rows first, and gives back those that it knows nothing of.
 */
export function handsBack(worker: string, known?: (id: string, epoch: number) => boolean): Rule {
  return (job, around, id) => {
    if (job?.status !== 'running' || job.owner !== worker || known?.(id, job.epoch)) return { job, around }
    const returned = requeued({ ...job, outcomes: [...job.outcomes, 'handed_back'] }, around)
    return known ? unlessLocked(job, around, { job: returned.job, around }) : returned
  }
}

/** Running jobs whose worker has no row any more go back to their queue with one crash more, unless they are internal. */
export const orphans: Rule = (job, around) => {
  if (job?.status !== 'running' || around.workers.has(job.owner ?? '')) return { job, around }
  const crashed: Job = { ...job, crashes: job.crashes + (job.internal ? 0 : 1), outcomes: [...job.outcomes, 'crashed'] }
  const lost = crashed.crashes >= crashesAllowed && !job.cancelAsked
  const after = lost ? { job: ended(crashed, around, 'failed', 'crash_loop'), around } : requeued(crashed, around)
  return unlessLocked(job, around, after)
}

function requeued(job: Job, around: Around): State {
  return job.cancelAsked
    ? { job: ended(job, around, 'cancelled'), around }
    : { job: queued(job, around), around, answer: 'ticket' }
}

/** The ticker queues what is due. */
export const promotesDue: Rule = (job, around) =>
  job && isWaiting(job) && (job.dueAt ?? Infinity) <= around.now
    ? unlessLocked(job, around, { job: queued(job, around), around, answer: 'ticket' })
    : { job, around }

/** Somebody queues one job before its time. */
export function promotes(tenant: string, wanted: string): Rule {
  return (job, around, id) => {
    if (id !== wanted) return { job, around }
    if (job?.tenant !== tenant || !isWaiting(job)) return { job, around, answer: 'refused' }
    return { job: queued(job, around), around, answer: 'promoted' }
  }
}

/** Jobs that have been waiting get a new ticket. Suspects have none. */
export const sweeps: Rule = (job, around) =>
  job?.status === 'queued' && !isSuspect(job) && (job.ticketedAt ?? 0) < around.now
    ? unlessLocked(job, around, { job: { ...job, ticketedAt: around.now }, around, answer: 'ticket' })
    : { job, around }

/** A job that does not run is cancelled at once, one that runs is asked. */
export function cancels(tenant: string, wanted: string): Rule {
  return (job, around, id) => {
    if (id !== wanted) return { job, around }
    if (job?.tenant !== tenant) return { job, around, answer: 'not-found' }
    if (hasEnded(job))
      return { job, around, answer: job.status === 'cancelled' ? 'cancelled' : `conflict ${job.status}` }
    const asked = { ...job, cancelAsked: true }
    const after = job.status === 'running' ? asked : ended(asked, around, 'cancelled')
    return { job: after, around, answer: after.status }
  }
}

/** A redrive changes nothing of the job that it repeats; the new one is a submission, and may be refused for what it shares. Internal jobs have none. */
export function redrives(tenant: string, wanted: string): Rule {
  return (job, around, id) => {
    if (id !== wanted) return { job, around }
    if (job?.tenant !== tenant) return { job, around, answer: 'not-found' }
    const allowed = !job.internal && (job.status === 'failed' || job.status === 'cancelled')
    const answers = !allowed ? ['conflict'] : job.deduplication === undefined ? ['accepted'] : ['accepted', 'conflict']
    return answers.map((answer) => ({ job, around, answer }))
  }
}

/** What has ended at least so many minutes ago is deleted. */
export function prunes(minutes: number): Rule {
  return (job, around) =>
    job?.endedAt !== undefined && job.endedAt + minutes <= around.now
      ? unlessLocked(job, around, { job: undefined, around })
      : { job, around }
}

/** A worker process enters itself in the record. */
export function joins(worker: string): Rule {
  return (job, around) => ({ job, around: { ...around, workers: new Map(around.workers).set(worker, 0) } })
}

/** A worker process removes itself, or is removed if it has not beaten since `beat`. */
export function leaves(worker: string, beat?: number): Rule {
  return (job, around) => {
    const stays = beat !== undefined && around.workers.get(worker) !== beat
    const workers = new Map(around.workers)
    if (!stays) workers.delete(worker)
    return { job, around: { ...around, workers }, answer: beat === undefined ? undefined : stays ? 'stays' : 'reaped' }
  }
}

/** A worker process that has a row counts its beats up. */
export function beats(worker: string): Rule {
  return (job, around) => {
    const beat = around.workers.get(worker)
    if (beat === undefined) return { job, around, answer: 'dead' }
    return { job, around: { ...around, workers: new Map(around.workers).set(worker, beat + 1) }, answer: 'alive' }
  }
}

export function pauses(paused: boolean): Rule {
  return (job, around) => ({ job, around: { ...around, paused } })
}
