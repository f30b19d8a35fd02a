import type { Sql } from '@jobyard/db/connect'
import type { JobStatus, Outcome } from '@jobyard/db/statuses'
import { invariants } from './invariants.ts'
import type { Around, Job } from './model.ts'

/** A job as it stands in the record. */
export interface FoundJob {
  readonly id: string
  readonly status: JobStatus
  readonly epoch: number
  readonly attemptsMade: number
  readonly crashes: number
  readonly cancelAsked: boolean
  readonly workerId: string | null
  readonly reason: string | null
  readonly outcomes: readonly Outcome[]
  readonly effects: number
}

/** What one look at the record finds. */
export interface Found {
  readonly violations: readonly { readonly invariant: string; readonly what: string }[]
  readonly jobs: readonly FoundJob[]
  readonly workers: Readonly<Record<string, number>>
  readonly paused: boolean
}

const violations = invariants.map(({ name, sql }) => `select '${name}' as invariant, what from (${sql}) as violation`)

const statement = `
  select
    (select coalesce(json_agg(v), '[]') from (${violations.join(' union all ')}) as v) as violations,
    (select coalesce(json_agg(json_build_object('id', id, 'status', status, 'epoch', epoch, 'attemptsMade', attempts_made,
      'crashes', crashes, 'cancelAsked', cancel_requested_at is not null, 'workerId', worker_id, 'reason', error->>'reason',
      'outcomes', (select coalesce(json_agg(outcome order by epoch), '[]') from attempts where job_id = j.id),
      'effects', (select count(*) from effects where job_id = j.id))), '[]') from jobs j) as jobs,
    (select coalesce(json_object_agg(id, beat), '{}') from workers) as workers,
    (select paused from queues where name = 'default') as paused`

/** Looks at a whole record and judges all invariants, in one statement: nothing can change between them. */
export async function look(sql: Sql): Promise<Found> {
  const [found] = await sql<Found[]>`${sql.unsafe(statement)}`
  if (!found) throw new Error('The record cannot be read')
  return found
}

/** @returns whether the model has the job as it was found. */
export function sameJob(model: Job | undefined, found: FoundJob | undefined): boolean {
  if (!model || !found) return !model && !found
  return (
    model.status === found.status &&
    model.epoch === found.epoch &&
    model.attemptsMade === found.attemptsMade &&
    model.crashes === found.crashes &&
    model.cancelAsked === found.cancelAsked &&
    model.effects === found.effects &&
    model.outcomes.join() === found.outcomes.join() &&
    (model.status !== 'running' || model.owner === found.workerId) &&
    (model.status !== 'failed' || model.reason === found.reason)
  )
}

/** @returns whether the model has the workers and the pause as they were found. */
export function sameAround(model: Around, { workers, paused }: Found): boolean {
  return (
    model.paused === paused &&
    model.workers.size === Object.keys(workers).length &&
    [...model.workers].every(([id, beat]) => workers[id] === beat)
  )
}
