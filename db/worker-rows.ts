import type { Sql } from './connect.ts'
import { runningJobs } from './live.ts'
import type { OwnedRun } from './requeue.ts'

/** What a worker process tells about itself. */
export interface WorkerRow {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly queues: readonly string[]
  readonly concurrency: number
}

/** Enters a worker process; only then can it claim. */
export async function insertWorker(sql: Sql, worker: WorkerRow): Promise<void> {
  await sql`
    insert into workers (id, host, pid, queues, concurrency, started_at, beat_at)
    values (${worker.id}, ${worker.host}, ${worker.pid}, ${JSON.stringify(worker.queues)}::text::json, ${worker.concurrency},
      clock_timestamp(), clock_timestamp())`
}

/** @returns false when the row is gone: the process was declared dead. */
export async function beat(sql: Sql, workerId: string): Promise<boolean> {
  const rows =
    await sql`update workers set beat = beat + 1, beat_at = clock_timestamp() where id = ${workerId} returning id`
  return rows.length > 0
}

/** A running row as its owner finds it. */
export interface OwnedRow extends OwnedRun {
  readonly cancelRequested: boolean
}

/** @returns every running job that belongs to the worker process. */
export async function readOwnedRuns(sql: Sql, workerId: string): Promise<OwnedRow[]> {
  return sql<OwnedRow[]>`
    select j.id, j.epoch, j.cancel_requested_at is not null as cancel_requested from ${runningJobs(sql)} where c.worker_id = ${workerId}`
}

/** The number that a worker process counts up with every heartbeat. */
export interface Beat {
  readonly id: string
  readonly beat: string
}

/** @returns the beats of every worker process. */
export async function readBeats(sql: Sql): Promise<Beat[]> {
  return sql<Beat[]>`select id, beat::text from workers`
}

/**
 * Removes a worker process that stood still, unless it has beaten since.
 *
 * @returns whether it was removed; its running jobs are orphans from then on.
 */
export async function reapWorker(sql: Sql, { id, beat: seen }: Beat): Promise<boolean> {
  const rows = await sql`delete from workers where id = ${id} and beat = ${seen}::bigint returning id`
  return rows.length > 0
}

/** Removes a worker process that has handed everything back. */
export async function deleteWorker(sql: Sql, workerId: string): Promise<void> {
  await sql`delete from workers where id = ${workerId}`
}
