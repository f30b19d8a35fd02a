import { plainArray, textArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { endings } from './endings.ts'
import type { JobStatus, Outcome } from './statuses.ts'
import { rfc3339, telling, tellsNothing, type Tells } from './telling.ts'

/** Why an attempt or a job failed. */
export interface JobError {
  /** snake_case word for programs. */
  readonly reason: string
  readonly message: string
  /** What else the handler told of it: any JSON value. */
  readonly detail?: unknown
}

/** How one attempt ended, and what its job becomes by it. */
export interface Settlement {
  readonly id: string
  /** Number of the claim that this attempt belongs to. */
  readonly epoch: number
  readonly outcome: Outcome
  readonly status: 'completed' | 'retrying' | 'failed' | 'cancelled'
  /** JSON text of a completed job's output. */
  readonly output?: string
  readonly error?: JobError
  /** Wait before the next attempt, in milliseconds, when retrying. */
  readonly delayMs?: number
}

/** What a settled job became; `retrying` turns into `cancelled` where a cancellation was asked for. */
export interface Settled {
  readonly id: string
  readonly epoch: number
  readonly status: JobStatus
}

/** Floor of the wait before a next attempt, in milliseconds, so that no loop is hot. */
const shortestDelayMs = 1_000

/**
 * Ends attempts, each only while its job is running under the same epoch, with attempts rows and outbox events, in one statement.
 * A job that is to be tried again has no crashes any more: only those in a row make it a suspect.
 *
 * @param tells says whether `job.retrying` is asked for.
 * @returns the jobs that were settled; one that is missing was fenced, or this very settlement had landed before.
 * @throws the driver's error; the settlements may have landed all the same, so repeat until answered.
 */
export async function settleAttempts(
  sql: Sql,
  batch: readonly Settlement[],
  tells: Tells = tellsNothing,
): Promise<Settled[]> {
  const items = batch.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const onlyCompletions = items.every(isPlainCompletion)
  const retrying = telling(sql, tells('job.retrying') && !onlyCompletions, 'job.retrying', {
    counts: sql`${nextStatus(sql)} = 'retrying'`,
    holds: sql`status = 'retrying'`,
    data: sql`json_build_object('status', status, 'outcome', outcome, 'attemptsMade', attempts_made, 'runAt', ${rfc3339(sql, sql`run_at`)},
      'error', json_build_object('reason', error::json->'reason', 'message', error::json->'message'))`,
  })
  return sql<Settled[]>`
    with changed as (
      update jobs j set
        status = ${nextStatus(sql)},
        attempts_made = j.attempts_made + case when i.outcome in ('completed', 'failed', 'timed_out') then 1 else 0 end,
        output = i.output,
        error = i.error::json,
        run_at = case when ${nextStatus(sql)} = 'retrying' then ${nextRun(sql)} else j.run_at end,
        due_at = case when ${nextStatus(sql)} = 'retrying' then ${nextRun(sql)} end,
        crashes = case when ${nextStatus(sql)} = 'retrying' and ${handlerEnded(sql)} then 0 else j.crashes end,
        finished_at = case when ${nextStatus(sql)} = 'retrying' then null else clock_timestamp() end${retrying.counted}
      from (${onlyCompletions ? completions(sql, items) : settlements(sql, items)}) as i
      where j.id = i.id and j.status = 'running' and j.epoch = i.epoch
      returning j.id, j.tenant, j.queue, j.status, j.epoch, j.internal, j.started_at, j.finished_at, j.attempts_made, j.worker_id,
        i.outcome, i.error${retrying.returned}
    ), attempt as (
      insert into attempts (job_id, epoch, tenant, attempt, outcome, error, worker_id, started_at, finished_at)
      select id, epoch, tenant, attempts_made + case when outcome in ('failed', 'timed_out') then 0 else 1 end, outcome, error::json,
        worker_id, started_at, clock_timestamp()
      from changed where outcome <> 'completed'
    ), ${endings(sql, { onlyCompletions })}${retrying.event}
    select id, epoch, status from changed`
}

function settlements(sql: Sql, items: readonly Settlement[]) {
  const plain = (pick: (item: Settlement) => string | number) => plainArray(items.map(pick))
  const text = (pick: (item: Settlement) => string | undefined) => textArray(items.map((item) => pick(item) ?? null))
  return sql`
    select * from unnest(
      ${plain((item) => item.id)}::text::uuid[], ${plain((item) => item.epoch)}::text::int[], ${plain((item) => item.outcome)}::text::text[],
      ${plain((item) => item.status)}::text::text[], ${text((item) => item.output)}::text::json[],
      ${text((item) => item.error && JSON.stringify(item.error))}::text::text[],
      ${plain((item) => Math.max(item.delayMs ?? 0, shortestDelayMs))}::text::float8[]
    ) as item (id, epoch, outcome, status, output, error, delay_ms) limit ${items.length}`
}

/** The same rows where all are alike, as they mostly are: four arrays less to read. */
function completions(sql: Sql, items: readonly Settlement[]) {
  return sql`
    select id, epoch, 'completed' as outcome, 'completed' as status, output, null::text as error, 0::float8 as delay_ms from unnest(
      ${plainArray(items.map((item) => item.id))}::text::uuid[], ${plainArray(items.map((item) => item.epoch))}::text::int[],
      ${textArray(items.map((item) => item.output ?? null))}::text::json[]
    ) as item (id, epoch, output) limit ${items.length}`
}

function isPlainCompletion({ status, error }: Settlement): boolean {
  return status === 'completed' && error === undefined
}

function nextRun(sql: Sql) {
  return sql`statement_timestamp() + i.delay_ms * interval '1 millisecond'`
}

function nextStatus(sql: Sql) {
  return sql`case when i.status = 'retrying' and j.cancel_requested_at is not null then 'cancelled' else i.status end`
}

/** Reasons of snoozes that are the platform's own. */
export type OwnSnooze = 'no_handler' | 'transaction_interrupted'
const ownSnoozes: readonly OwnSnooze[] = ['no_handler', 'transaction_interrupted']

/** A handler that came to its end did not crash its process. A snooze of the platform's own tells nothing of it. */
function handlerEnded(sql: Sql) {
  return sql`(i.outcome <> 'snoozed' or not coalesce(i.error::json->>'reason' = any(${plainArray(ownSnoozes)}::text::text[]), false))`
}
