import type { Sql } from './connect.ts'
import { terminalEvents } from './outbox.ts'
import type { JobStatus, Outcome } from './statuses.ts'

/** Why an attempt or a job failed. */
export interface JobError {
  /** snake_case word for programs. */
  readonly reason: string
  readonly message: string
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
 *
 * @returns the jobs that were settled; one that is missing was fenced, or this very settlement had landed before.
 * @throws the driver's error; the settlements may have landed all the same, so repeat until answered.
 */
export async function settleAttempts(sql: Sql, batch: readonly Settlement[]): Promise<Settled[]> {
  const items = [...batch].sort((a, b) => (a.id < b.id ? -1 : 1))
  const column = <T>(pick: (item: Settlement) => T) => items.map(pick)
  return sql<Settled[]>`
    with item as materialized (
      select * from unnest(
        ${column((item) => item.id)}::uuid[], ${column((item) => item.epoch)}::int[], ${column((item) => item.outcome)}::text[],
        ${column((item) => item.status)}::text[], ${column((item) => item.output ?? null)}::text[],
        ${column((item) => (item.error ? JSON.stringify(item.error) : null))}::text[],
        ${column((item) => Math.max(item.delayMs ?? 0, shortestDelayMs))}::float8[]
      ) as t (id, epoch, outcome, status, output, error, delay_ms)
    ), mine as materialized (
      select j.id, j.worker_id from jobs j join item i on i.id = j.id
      where j.status = 'running' and j.epoch = i.epoch order by j.id for update of j
    ), changed as (
      update jobs j set
        status = ${nextStatus(sql)},
        attempts_made = j.attempts_made + case when i.outcome in ('completed', 'failed', 'timed_out') then 1 else 0 end,
        output = i.output::json,
        error = i.error::json,
        run_at = case when ${nextStatus(sql)} = 'retrying' then statement_timestamp() + i.delay_ms * interval '1 millisecond' else j.run_at end,
        finished_at = case when ${nextStatus(sql)} = 'retrying' then null else clock_timestamp() end,
        worker_id = null
      from mine join item i on i.id = mine.id
      where j.id = mine.id and j.status = 'running' and j.epoch = i.epoch
      returning j.id, j.tenant, j.status, j.epoch, j.internal, j.started_at, j.finished_at, j.attempts_made, i.outcome, i.error,
        mine.worker_id
    ), attempt as (
      insert into attempts (job_id, epoch, tenant, attempt, outcome, error, worker_id, started_at, finished_at)
      select id, epoch, tenant, attempts_made + case when outcome in ('failed', 'timed_out') then 0 else 1 end, outcome, error::json,
        worker_id, started_at, clock_timestamp()
      from changed where outcome <> 'completed'
    ), event as (${terminalEvents(sql)})
    select id, epoch, status from changed`
}

function nextStatus(sql: Sql) {
  return sql`case when i.status = 'retrying' and j.cancel_requested_at is not null then 'cancelled' else i.status end`
}
