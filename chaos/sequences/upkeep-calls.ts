import { Problem } from '@jobyard/api/problem'
import { insertOnce } from '@jobyard/db/insert-once'
import { insertJobs, type IntakeResult } from '@jobyard/db/intake'
import { newId } from '@jobyard/db/ids'
import { deleteSpentArrivals, deleteSpentClaims, findArrivals } from '@jobyard/db/live'
import { promoteDue } from '@jobyard/db/promote'
import { pruneEvents, pruneJobs } from '@jobyard/db/prune'
import { setPaused } from '@jobyard/db/queue-rows'
import { requeueOrphans, type Ticketable } from '@jobyard/db/requeue'
import { terminalStatuses } from '@jobyard/db/statuses'
import { findProbeTargets, sweepLost } from '@jobyard/db/sweep'
import { reapWorker } from '@jobyard/db/worker-rows'
import * as model from './model.ts'
import { batched } from './stage.ts'
import { inOrder, type Operation, type Sent, type World } from './world.ts'

const { queue } = batched
const minuteMs = 60_000
/** Off the full minute, since a sequence takes seconds. */
const msOf = (minutes: number) => (minutes - 0.5) * minuteMs

/** What a client asks for, but for its id. */
export interface Request extends Omit<model.Submission, 'id' | 'deduplication'> {
  /** Deduplication key. */
  readonly shares?: string | undefined
  /** Whether it shares a ticket with others. */
  readonly batched: boolean
}

/** Accepts requests, those with a deduplication key in a transaction and the others in one statement before; then sends their tickets. */
export function submit(world: World, requests: readonly Request[]): Operation {
  const shared = requests.filter(({ shares }) => shares !== undefined)
  const plain = requests.filter(({ shares }) => shares === undefined)
  const parts = [
    ...(plain.length > 0 ? [submitPlain(world, plain)] : []),
    ...(shared.length > 0 ? [submitShared(world, shared)] : []),
  ]
  return inOrder(parts)
}

function submitPlain({ stage }: World, requests: readonly Request[]): Operation {
  const submissions = requests.map((request) => ({ id: newId(), ...request }))
  return {
    label: `submission ${submissions.map(({ id }) => id).join(', ')}`,
    send: async () => {
      const batch = submissions.map(newJob)
      const results = await insertJobs(stage.db.sql, batch)
      const answers = results.map(answerOf)
      const ready = batch.filter((_, n) => results[n]?.kind === 'accepted' && statusOf(results[n]) === 'queued')
      return {
        acts: [
          {
            rule: model.submits(submissions),
            answered: (id) =>
              id === model.nobody ? answers.join() : answers[submissions.findIndex((one) => one.id === id)],
          },
        ],
        deliver: () => stage.tickets.send(ready.map((job) => ({ ...job, crashes: 0, alone: false }))),
      }
    },
  }
}

function submitShared(world: World, requests: readonly Request[]): Operation {
  const { stage, deduplications } = world
  const submissions = requests.map((request) => ({
    id: newId(),
    ...request,
    key: undefined,
    deduplication: deduplicationOf(request),
  }))
  for (const { id, deduplication } of submissions) deduplications.set(id, deduplication)
  return {
    label: `submission of ${submissions.map(({ id, deduplication }) => `${id} (${deduplication})`).join(', ')}`,
    send: async () => {
      const batch = submissions.map(newJob)
      const results = await insertOnce(stage.db, batch)
      const ready = batch.filter((_, n) => results[n]?.kind === 'accepted' && statusOf(results[n]) === 'queued')
      const answers = new Map(submissions.map(({ id }, n) => [id, (results[n] as IntakeResult).kind]))
      const holders = new Map(
        submissions.flatMap(({ deduplication }, n) => {
          const result = results[n] as IntakeResult
          return 'id' in result ? [[deduplication, result.id] as const] : []
        }),
      )
      return {
        acts: [
          {
            rule: model.submits(submissions),
            answered: (id) => answers.get(id) ?? whetherItHolds(holders, id, deduplications.get(id)),
          },
        ],
        deliver: () => stage.tickets.send(ready.map((job) => ({ ...job, crashes: 0, alone: false }))),
      }
    },
  }
}

/** What is known about a job when others with a deduplication were answered by these jobs. */
function whetherItHolds(holders: ReadonlyMap<string, string>, id: string, deduplication: string | undefined) {
  const holder = deduplication === undefined ? undefined : holders.get(deduplication)
  if (holder === undefined) return undefined
  return holder === id ? 'holds' : 'free'
}

function deduplicationOf({ tenant, batched: isBatched, shares }: Omit<Request, 'key'>): string {
  return `${tenant} ${typeOf(isBatched)} ${shares}`
}

function typeOf(isBatched: boolean): string {
  return isBatched ? batched.type : 'sequence.single'
}

function newJob({
  id,
  tenant,
  priority,
  maxAttempts,
  dueIn,
  expiresIn,
  key,
  internal,
  ...rest
}: Request & { id: string }) {
  return {
    id,
    tenant,
    type: typeOf(rest.batched),
    deduplicationKey: rest.shares,
    queue,
    input: '{}',
    priority,
    delayMs: dueIn === undefined ? undefined : msOf(dueIn),
    expiresAt: expiresIn === undefined ? undefined : new Date(Date.now() + msOf(expiresIn)),
    maxAttempts,
    timeoutMs: 10_000,
    tags: [],
    metadata: JSON.stringify(key ? { key: key.name } : {}),
    internal,
    idempotency: key && { key: key.name, requestHash: key.hash },
  }
}

function answerOf(result: IntakeResult): string {
  return result.kind === 'replayed' ? `replayed ${result.id}` : result.kind
}

function statusOf(result: IntakeResult | undefined) {
  return result && 'status' in result ? result.status : undefined
}

/** A client cancels a job. */
export function cancel({ stage }: World, tenant: string, id: string): Operation {
  return {
    label: `cancellation of ${id}`,
    send: async () => {
      const answer = await stage.actions.cancel(tenant, id).catch(problemOf)
      return { acts: [{ rule: model.cancels(tenant, id), answered: (about) => (about === id ? answer : undefined) }] }
    },
  }
}

/** A client runs a job now that waits for a time. */
export function promote({ stage }: World, tenant: string, id: string): Operation {
  return {
    label: `promotion of ${id}`,
    send: async () => {
      const answer = await stage.actions.promote(tenant, id).then(
        () => 'promoted',
        (error: unknown) => problemOf(error) && 'refused',
      )
      return { acts: [{ rule: model.promotes(tenant, id), answered: (about) => (about === id ? answer : undefined) }] }
    },
  }
}

/** A client sends a failed or cancelled job again. */
export function redrive({ stage, jobs, deduplications }: World, tenant: string, id: string): Operation {
  return {
    label: `redrive of ${id}`,
    send: async () => {
      const original = jobs.get(id)
      const answer = await stage.actions.redrive(tenant, id).then(({ job }) => job, problemOf)
      const refused = typeof answer === 'string' ? answer.split(' ')[0] : undefined
      const read = {
        rule: model.redrives(tenant, id),
        answered: (about: string) => (about === id ? (refused ?? 'accepted') : undefined),
      }
      if (typeof answer === 'string' || !original) return { acts: [read] }
      const { priority, maxAttempts, internal, deduplication } = original
      const submission = { id: answer.id, tenant, priority, maxAttempts, internal, deduplication }
      if (deduplication !== undefined) deduplications.set(answer.id, deduplication)
      const holders = new Map(deduplication === undefined ? [] : [[deduplication, answer.id]])
      const answered = (about: string) => {
        if (about === answer.id || (about === model.nobody && deduplication === undefined)) return 'accepted'
        return whetherItHolds(holders, about, deduplications.get(about))
      }
      return { acts: [read, { rule: model.submits([submission]), answered }] }
    },
  }
}

/** @returns the kind of the problem that the API answers with, and the status that its detail names. @throws any other error. */
export function problemOf(error: unknown): string {
  if (!(error instanceof Problem)) throw error
  return [error.kind, /it is (\w+)\./.exec(error.message)?.[1]].filter(Boolean).join(' ')
}

/** The ticker queues what is due. */
export function tick({ stage }: World): Operation {
  return {
    label: 'ticker',
    send: async () => ticketed(stage, model.promotesDue, await promoteDue(stage.db.sql)),
  }
}

/** The reconciler queues the jobs of dead workers, and deletes their spent claims. */
export function requeue({ stage }: World): Operation {
  return {
    label: 'requeue of orphans',
    send: async () => {
      const jobs = await requeueOrphans(stage.db.sql)
      await deleteSpentClaims(stage.db.sql)
      return ticketed(stage, model.orphans, jobs)
    },
  }
}

/** The watcher removes a worker whose beat it has seen for a lease. */
export function reap({ stage }: World, worker: string, seen: number): Operation {
  return {
    label: `reaping of ${worker} at beat ${seen}`,
    send: async () => {
      const answer = (await reapWorker(stage.db.sql, { id: worker, beat: String(seen) })) ? 'reaped' : 'stays'
      return { acts: [{ rule: model.leaves(worker, seen), answered: () => answer }] }
    },
  }
}

/** Probes come out wherever jobs wait for long: these have lost their tickets. */
export function sweep({ stage }: World): Operation {
  return {
    label: 'sweep',
    send: async () => {
      const lost: Ticketable[] = []
      for (const target of await findProbeTargets(stage.db.sql, [queue]))
        lost.push(...(await sweepLost(stage.db.sql, target)))
      return ticketed(stage, model.sweeps, lost)
    },
  }
}

function ticketed({ tickets }: World['stage'], rule: model.Rule, jobs: readonly Ticketable[]): Sent {
  const ids = new Set(jobs.map(({ id }) => id))
  const answered = (id: string) => (ids.has(id) ? 'ticket' : undefined)
  return { acts: [{ rule, answered }], deliver: () => tickets.send(jobs) }
}

/** The reconciler deletes spent arrivals. */
export function collect({ stage }: World): Operation {
  return {
    label: 'collection of arrivals',
    send: async () => {
      for (const arrivals of await findArrivals(stage.db.sql, [queue]))
        await deleteSpentArrivals(stage.db.sql, arrivals)
      return { acts: [] }
    },
  }
}

/**
 * The pruner deletes what has ended long ago, after its events got their places.
 *
 * @param jobMinutes age from which on jobs go.
 * @param eventMinutes the same of their events.
 */
export function prune({ stage }: World, jobMinutes: number, eventMinutes: number): Operation {
  return {
    label: 'pruner',
    send: async () => {
      const ages = { jobMs: msOf(jobMinutes), eventMs: msOf(eventMinutes) }
      await stage.place()
      for (const status of terminalStatuses) {
        await pruneJobs(stage.db.sql, queue, status, ages)
        await pruneEvents(stage.db.sql, status, ages.eventMs)
      }
      return { acts: [{ rule: model.prunes(jobMinutes), answered: () => undefined }] }
    },
  }
}

/** An operator pauses or resumes the queue. */
export function pause({ stage }: World, paused: boolean): Operation {
  return {
    label: paused ? 'pause' : 'resumption',
    send: async () => {
      await setPaused(stage.db.sql, queue, paused)
      return { acts: [{ rule: model.pauses(paused), answered: () => undefined }] }
    },
  }
}
