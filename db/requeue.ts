import { plainArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { newArrivals, runningJobs } from './live.ts'
import { endings } from './endings.ts'

/** A queued job that wants a ticket. */
export interface Ticketable {
  readonly id: string
  readonly queue: string
  readonly priority: number
  readonly type: string
  readonly crashes: number
  /** Whether it goes in a ticket of its own: it has failed, or crashed its process, before. */
  readonly alone: boolean
}

/** Columns of a {@link Ticketable}, of the table `j` that a statement has just changed. */
export function ticketable(sql: Sql) {
  return sql`j.id, j.queue, j.priority, j.type, j.crashes, j.crashes > 0 or j.attempts_made > 0 as alone`
}

/** A claim that a process knows about. */
export interface OwnedRun {
  readonly id: string
  readonly epoch: number
}

/** Crashes after which a job is given up. */
export const maxCrashes = 3

/**
 * Returns unfinished jobs of a worker process to their queue; no attempt and no crash is counted.
 *
 * @param runs the claims to give back; all of the process's when absent.
 * @returns the jobs that are queued again; those with a cancellation pending became cancelled instead.
 */
export async function handBack(sql: Sql, workerId: string, runs?: readonly OwnedRun[]): Promise<Ticketable[]> {
  const only = runs
    ? sql`and (j.id, j.epoch) in (select * from unnest(${plainArray(runs.map((run) => run.id))}::text::uuid[], ${plainArray(runs.map((run) => run.epoch))}::text::int[]))`
    : sql``
  return requeue(sql, {
    rows: sql`select j.id, j.worker_id from ${runningJobs(sql)} where c.worker_id = ${workerId} ${only} order by j.id for update of j`,
    stillMine: sql`j.worker_id = ${workerId}`,
    crashed: false,
  })
}

/**
 * Returns running jobs whose worker process is gone to their queue, up to 1,000 at a time, each with one crash more;
 * the third crash fails the job. Internal jobs are not to blame for a crash: it is our handlers that run them.
 */
export async function requeueOrphans(sql: Sql): Promise<Ticketable[]> {
  return requeue(sql, {
    rows: sql`
      with gone as materialized (select * from claims c where not exists (select from workers w where w.id = c.worker_id))
      select j.id, j.worker_id from ${runningJobs(sql, sql`gone`)} limit 1000 for update of j skip locked`,
    stillMine: sql`not exists (select from workers w where w.id = j.worker_id)`,
    crashed: true,
  })
}

type Fragment = ReturnType<typeof endings>

/** The one way out of `running` back to `queued`: a pending cancellation and the third crash end the job instead. */
async function requeue(
  sql: Sql,
  { rows, stillMine, crashed }: { rows: Fragment; stillMine: Fragment; crashed: boolean },
) {
  const crash = sql`case when ${crashed}::boolean and not j.internal then 1 else 0 end`
  const next = sql`case when j.cancel_requested_at is not null then 'cancelled'
    when ${crashed}::boolean and j.crashes + ${crash} >= ${maxCrashes} then 'failed' else 'queued' end`
  const changed = await sql<(Ticketable & { status: string })[]>`
    with candidate as materialized (${rows}),
    changed as (
      update jobs j set
        status = ${next},
        crashes = j.crashes + ${crash},
        error = case when ${next} = 'failed' then ${crashLoopError}::text::json else j.error end,
        finished_at = case when ${next} = 'queued' then null else clock_timestamp() end,
        ticketed_at = case when ${next} = 'queued' then statement_timestamp() end,
        worker_id = null
      from candidate where j.id = candidate.id and j.status = 'running' and ${stillMine}
      returning ${ticketable(sql)}, j.tenant, j.status, j.ticketed_at, j.epoch, j.attempts_made, j.internal, j.started_at,
        j.finished_at, candidate.worker_id
    ), attempt as (
      insert into attempts (job_id, epoch, tenant, attempt, outcome, worker_id, started_at, finished_at)
      select id, epoch, tenant, attempts_made + 1, ${crashed ? 'crashed' : 'handed_back'}, worker_id, started_at, clock_timestamp()
      from changed
    ), ${newArrivals(sql)}, ${endings(sql)}
    select id, queue, priority, type, crashes, alone, status from changed`
  return changed.filter((job) => job.status === 'queued')
}

const crashLoopError = JSON.stringify({
  reason: 'crash_loop',
  message: `The worker process died ${maxCrashes} times while it ran this job. Mend the handler, then redrive the job.`,
})
