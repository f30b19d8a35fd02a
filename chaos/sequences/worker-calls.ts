import { claimJobs, findSuspect, type ClaimResult } from '@jobyard/db/claim'
import { reportProgress } from '@jobyard/db/progress'
import { handBack } from '@jobyard/db/requeue'
import { settleAttempts } from '@jobyard/db/settle'
import { deleteWorker } from '@jobyard/db/worker-rows'
import { defaultRetryPolicy } from '@jobyard/queues/define-job'
import { BatchTransaction } from '@jobyard/workers/batch-transaction'
import { FencedError, HandlerTransaction } from '@jobyard/workers/handler-transaction'
import { decide, type AttemptOutcome } from '@jobyard/workers/outcome'
import { Run } from '@jobyard/workers/ownership'
import { ProgressReports } from '@jobyard/workers/progress-reports'
import { RunContext } from '@jobyard/workers/run-context'
import { createLogger } from '@jobyard/queues/logger'
import type { BagTicket } from './bag.ts'
import { beats, claims, handsBack, joins, leaves, settles, type Ended } from './model.ts'
import type { Act } from './orders.ts'
import { batched, type WorkerProcess } from './stage.ts'
import type { Operation, World } from './world.ts'

const policy = { ...defaultRetryPolicy, initialDelayMs: 1_000, maxDelayMs: 1_000, jitter: 0 }
const log = createLogger('sequences', 'silent')

/** A run and how its handler ends. */
export interface EndingRun {
  readonly run: Run
  readonly ended: Ended
}

/**
 * Claims jobs of a ticket, and sends the rest of it on.
 *
 * @param slots jobs that the process takes at most.
 * @param patient whether the process waits for the answer; else its rows are none that it knows of.
 */
export function claim(
  { stage, runs }: World,
  { ownership }: WorkerProcess,
  ticket: BagTicket,
  slots: number,
  patient: boolean,
): Operation {
  const { workerId } = ownership
  const ids = ticket.ids.slice(0, slots)
  const answered = patient ? ownership.awaitClaim(ids) : () => {}
  return {
    label: `claim of ${ids.length} of ${ticket.ids.length}`,
    send: async () => {
      await stage.tickets.passOn(ticket.queue, 0, { ids: ticket.ids.slice(slots) })
      const result = await claimJobs(stage.db.sql, workerId, ids)
      return {
        acts: [claimed(workerId, ids, result)],
        deliver: () => {
          runs.push(...ownership.adopt(result.jobs, workerId))
          answered()
          if (!result.alive) stage.bag.put(ticket)
        },
      }
    },
  }
}

/** Claims the oldest suspect, which has no ticket. */
export function claimSuspect({ stage, runs }: World, { ownership }: WorkerProcess): Operation {
  const { workerId } = ownership
  return {
    label: 'claim of a suspect',
    send: async () => {
      const id = await findSuspect(stage.db.sql, [batched.queue])
      if (id === undefined) return { acts: [] }
      const answered = ownership.awaitClaim([id])
      const result = await claimJobs(stage.db.sql, workerId, [id], 'suspect').finally(answered)
      return {
        acts: [claimed(workerId, [id], result, 'suspect')],
        deliver: () => void runs.push(...ownership.adopt(result.jobs, workerId)),
      }
    },
  }
}

function claimed(workerId: string, ids: string[], { alive, jobs }: ClaimResult, lane?: 'suspect'): Act {
  const epochs = new Map(jobs.map(({ id, epoch }) => [id, epoch]))
  const answered = (id: string) => (alive ? `alive ${epochs.get(id) ?? ''}`.trimEnd() : 'dead')
  return { rule: claims(workerId, ids, lane), answered }
}

/** Settles attempts in one statement. */
export function settle(world: World, endings: readonly EndingRun[]): Operation {
  const settlements = endings.map(({ run, ended }) => decide(run.job, outcomeOf(run, ended), policy))
  return {
    label: `settlement ${endings.map(nameEnding).join(', ')}`,
    send: async () => {
      const settled = await settleAttempts(world.stage.db.sql, settlements)
      const statuses = new Map(settled.map(({ id, status }) => [id, status]))
      return { acts: [settledAs(endings, statuses)], deliver: () => forget(world, endings) }
    },
  }
}

/** Settles a job as completed in the transaction of its handler, which writes something; or the handler throws after its write. */
export function transact(world: World, run: Run, throws: boolean): Operation {
  const { id, epoch } = run.job
  const endings = [{ run, ended: { outcome: 'completed', effect: true } }] as const
  return {
    label: `transaction ${throws ? 'that throws' : ''} ${nameEnding(endings[0])}`,
    send: async () => {
      const unaware = new Run(run.job, run.workerId) // of what became of it meanwhile
      const transaction = new HandlerTransaction(world.stage.db.transactions, unaware, JSON.stringify)
      const status = await transaction
        .execute(async (sql) => {
          await sql`insert into effects values (${id}, ${epoch})`
          if (throws) throw new HandlerFailure()
          return { epoch, by: 'transaction' }
        })
        .then(() => 'completed', fencedOnly)
      if (throws) return { acts: [] }
      const statuses = new Map(status === undefined ? [] : [[id, status]])
      return { acts: [settledAs(endings, statuses)], deliver: () => forget(world, endings) }
    },
  }
}

/** The same for the handler of a batch: it locks its jobs, writes for those that complete, and settles all that are still owned. */
export function transactBatch(world: World, endings: readonly EndingRun[]): Operation {
  const effective = endings.map(({ run, ended }) => ({
    run,
    ended: { ...ended, effect: ended.outcome === 'completed' },
  }))
  const endingOf = new Map(effective.map((ending) => [ending.run.job.id, ending]))
  return {
    label: `transaction of a batch ${endings.map(nameEnding).join(', ')}`,
    send: async () => {
      const { transactions, sql: pool } = world.stage.db
      const transaction = new BatchTransaction(transactions, batched, new AbortController().signal)
      const jobs = endings.map(({ run }) =>
        Object.assign(new RunContext(run, new ProgressReports(pool), log), { input: null }),
      )
      await transaction
        .execute(
          () => jobs,
          async (sql, kept) =>
            Promise.all(
              kept.map(async ({ jobId }) => {
                const { run, ended } = endingOf.get(jobId) as EndingRun
                const { epoch } = run.job
                if (ended.outcome !== 'completed') return new Error(`epoch ${epoch}`)
                await sql`insert into effects values (${jobId}, ${epoch})`
                return { epoch, by: 'transaction' }
              }),
            ),
        )
        .catch(fencedOnly)
      const statuses = new Map([...(transaction.settled ?? [])].map(([id, { status }]) => [id, status]))
      return { acts: [settledAs(effective, statuses)], deliver: () => forget(world, endings) }
    },
  }
}

class HandlerFailure extends Error {}

function fencedOnly(error: unknown): undefined {
  if (!(error instanceof FencedError || error instanceof HandlerFailure)) throw error
}

function settledAs(endings: readonly EndingRun[], statuses: ReadonlyMap<string, string>): Act {
  const runs = new Map(endings.map(({ run, ended }) => [run.job.id, { epoch: run.job.epoch, ...ended }]))
  return { rule: settles(runs), answered: (id) => statuses.get(id) }
}

function outcomeOf({ job: { epoch } }: Run, { outcome, permanent = false }: Ended): AttemptOutcome {
  switch (outcome) {
    case 'completed':
      return { outcome, output: JSON.stringify({ epoch }) }
    case 'failed':
      return { outcome, permanent, error: { reason: 'error', message: `epoch ${epoch}` } }
    case 'snoozed':
      return { outcome, delayMs: 0 }
    case 'timed_out':
    case 'cancelled':
      return { outcome }
  }
}

function forget({ processes }: World, endings: readonly EndingRun[]): void {
  for (const { run } of endings) for (const { ownership } of processes) ownership.forget(run)
}

function nameEnding({ run, ended }: EndingRun): string {
  return `${ended.outcome} of ${run.job.id} epoch ${run.job.epoch}`
}

/** Reports progress of a run, as it does while its handler works; and perhaps later. */
export function report({ stage }: World, { job: { id, epoch } }: Run): Operation {
  return {
    label: `progress of ${id} epoch ${epoch}`,
    send: async () => {
      await reportProgress(stage.db.sql, [{ id, epoch, fraction: 0.5, note: `epoch ${epoch}` }])
      return { acts: [] }
    },
  }
}

/** One heartbeat, with the ownership check. A process that finds itself declared dead starts over. */
export function beat(process: WorkerProcess): Operation {
  const { ownership, heartbeat } = process
  return {
    process,
    label: 'heartbeat',
    send: async () => {
      const { workerId } = ownership
      await heartbeat.runOnce()
      if (ownership.workerId !== workerId)
        return { acts: [act(beats(workerId), 'dead'), act(joins(ownership.workerId))] }
      const known = (id: string, epoch: number) =>
        ownership.find({ id, epoch }) !== undefined || ownership.isAwaited(id)
      return { acts: [act(beats(workerId), 'alive'), act(handsBack(workerId, known))] }
    },
  }
}

/** The process is killed, and another one takes its place. Its row stays. */
export function crash(process: WorkerProcess): Operation {
  const { ownership, heartbeat } = process
  return {
    process,
    label: 'crash',
    send: async () => {
      ownership.renew()
      await heartbeat.register()
      return { acts: [act(joins(ownership.workerId))] }
    },
  }
}

/** The process stops as it should, and another one takes its place. */
export function shutDown({ stage }: World, process: WorkerProcess): Operation {
  const { ownership, heartbeat } = process
  return {
    process,
    label: 'shut-down',
    send: async () => {
      const { workerId } = ownership
      ownership.renew()
      const jobs = await handBack(stage.db.sql, workerId)
      await deleteWorker(stage.db.sql, workerId)
      await heartbeat.register()
      const ids = new Set(jobs.map(({ id }) => id))
      return {
        acts: [
          { rule: handsBack(workerId), answered: (id) => (ids.has(id) ? 'ticket' : undefined) },
          act(leaves(workerId)),
          act(joins(ownership.workerId)),
        ],
        deliver: () => stage.tickets.send(jobs),
      }
    },
  }
}

function act(rule: Act['rule'], answer?: string): Act {
  return { rule, answered: () => answer }
}
