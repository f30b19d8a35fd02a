import type { Sql } from './connect.ts'
import type { JobRow } from './jobs.ts'
import { endedJobs } from './endings.ts'
import { queuedJobs, runningJobs } from './live.ts'
import { countLimit, type QueueRow } from './queue-rows.ts'
import type { TerminalStatus } from './statuses.ts'

/** The lists of jobs that the board shows of a queue: `due` holds scheduled and retrying jobs, `failed` also cancelled ones. */
export const boardLanes = ['queued', 'running', 'due', 'completed', 'failed'] as const
export type BoardLane = (typeof boardLanes)[number]

/** Rows of one page at most. */
export const pageLimit = 200
/** Inputs and outputs that are longer stay out of lists, in bytes. */
export const previewLimit = 16_384

/** A job with what only operators see. */
export interface BoardJobRow extends JobRow {
  readonly workerId: string | null
  /** Where the worker process runs, while it has a heartbeat row. */
  readonly workerHost: string | null
  readonly workerPid: number | null
  readonly cancelRequestedAt: Date | null
  /** Since when the job has been ready; null unless it is queued. */
  readonly ticketedAt: Date | null
  /** Length of the input's JSON in bytes; in a list `input` is null when this exceeds {@link previewLimit}. */
  readonly inputBytes: number
  /** Length of the output's JSON in bytes, or null; in a list `output` is null when this exceeds {@link previewLimit}. */
  readonly outputBytes: number | null
}

/** How many jobs each lane of a queue holds, none above {@link countLimit}. */
export interface BoardQueue extends QueueRow, Readonly<Record<BoardLane, number>> {}

/** A worker process that serves a queue. */
export interface BoardWorker {
  readonly id: string
  readonly host: string
  readonly pid: number
  /** Jobs at once, per queue. */
  readonly concurrency: number
  /** Jobs of the queue that it runs now. */
  readonly running: number
  /** Time since it started, in milliseconds. */
  readonly ageMs: number
  /** Time since its last heartbeat, in milliseconds. */
  readonly silentMs: number
}

/** Jobs that ended within one minute, at most {@link countLimit}. */
export interface FinishedMinute {
  /** Start of the minute, in milliseconds since 1970. */
  readonly minuteMs: number
  readonly finished: number
}

type Fragment = ReturnType<typeof queuedJobs>

/**
 * Counts every queue's jobs of a tenant. Of each status the first {@link countLimit} rows of the queue are looked at,
 * so that the cost does not grow with the jobs that have finished.
 */
export async function countBoardQueues(sql: Sql, tenant: string): Promise<BoardQueue[]> {
  const count = (lane: BoardLane) => {
    const parts = branches(sql, lane, sql`q.name`).map(
      (branch) => sql`(select count(*)::int from (${branch}) as seen where seen.tenant = ${tenant})`,
    )
    const sum = parts.reduce((left, right) => sql`${left} + ${right}`)
    return sql`least(${sum}, ${countLimit}::int)`
  }
  return sql<BoardQueue[]>`
    select q.name, q.paused, ${count('queued')} as queued, ${count('running')} as running, ${count('due')} as due,
      ${count('completed')} as completed, ${count('failed')} as failed
    from queues q order by q.name`
}

/**
 * Lists a page of a lane: queued jobs in the order in which they will start, due ones by their time, running and ended ones
 * newest first. Looks at the first {@link countLimit} rows of the queue at most.
 *
 * @param offset rows to leave out.
 * @param limit rows at most; {@link pageLimit} is the most there can be.
 */
export async function listBoardJobs(
  sql: Sql,
  tenant: string,
  queue: string,
  lane: BoardLane,
  { offset, limit }: { readonly offset: number; readonly limit: number },
): Promise<BoardJobRow[]> {
  const rows = Math.min(limit, pageLimit)
  const order = orderOf(sql, lane)
  const ofTenant = branches(sql, lane, sql`${queue}`).map(
    (branch) =>
      sql`(select * from (${branch}) as seen where tenant = ${tenant} order by ${order} limit ${offset + rows}::int)`,
  )
  const all = ofTenant.reduce((left, right) => sql`${left} union all ${right}`)
  return sql<BoardJobRow[]>`
    with page as materialized (
      select id, row_number() over (order by ${order}) as place from (${all}) as seen order by place offset ${offset}::int limit ${rows}::int
    )
    select ${columns(sql)}, ${preview(sql, 'input')}, ${preview(sql, 'output')}
    from page join jobs j on j.id = page.id left join workers w on w.id = j.worker_id order by page.place`
}

/** @returns the tenant's job of this queue, whole, or undefined. */
export async function getBoardJob(
  sql: Sql,
  tenant: string,
  queue: string,
  id: string,
): Promise<BoardJobRow | undefined> {
  const [row] = await sql<BoardJobRow[]>`
    select ${columns(sql)}, j.input, j.output
    from jobs j left join workers w on w.id = j.worker_id where j.id = ${id} and j.tenant = ${tenant} and j.queue = ${queue}`
  return row
}

/** @returns the worker processes that serve a queue, longest-lived first. */
export async function listBoardWorkers(sql: Sql, queue: string): Promise<BoardWorker[]> {
  const since = (column: Fragment) => sql`(extract(epoch from clock_timestamp() - ${column}) * 1000)::float8`
  return sql<BoardWorker[]>`
    select w.id, w.host, w.pid, w.concurrency, ${since(sql`w.started_at`)} as age_ms, ${since(sql`w.beat_at`)} as silent_ms,
      (select count(*)::int from ${runningJobs(sql)} where c.worker_id = w.id and j.queue = ${queue}) as running
    from workers w
    where exists (select from json_array_elements_text(w.queues) as served (queue) where served.queue = ${queue})
    order by w.started_at, w.id`
}

/**
 * Counts the jobs of a queue that ended in each of the last minutes, the one under way included, by the clock of Postgres.
 *
 * @param minutes how many, newest last in the answer.
 */
export async function countFinishedByMinute(
  sql: Sql,
  tenant: string,
  queue: string,
  status: TerminalStatus,
  minutes: number,
): Promise<FinishedMinute[]> {
  return sql<FinishedMinute[]>`
    select (extract(epoch from minute) * 1000)::float8 as minute_ms, (
      select least(coalesce(sum(jobs), 0), ${countLimit})::int from (
        select e.jobs, e.tenant from endings e
        where e.queue = ${queue} and e.status = ${status}
          and e.ended_at >= minute and e.ended_at < minute + interval '1 minute' limit ${countLimit}
      ) as seen where seen.tenant = ${tenant}) as finished
    from generate_series(date_trunc('minute', statement_timestamp()) - (${minutes}::int - 1) * interval '1 minute',
      statement_timestamp(), interval '1 minute') as minute
    order by minute`
}

/** The index scans that a lane is made of; each stops by itself, whatever the tenant. */
function branches(sql: Sql, lane: BoardLane, queue: Fragment): Fragment[] {
  switch (lane) {
    case 'queued':
      return [
        sql`select j.id, j.tenant, a.priority, a.ticketed_at as at from ${queuedJobs(sql)}
          where a.queue = ${queue} order by a.priority, a.ticketed_at limit ${countLimit}`,
      ]
    case 'running':
      return [
        sql`select j.id, j.tenant, 0 as priority, j.started_at as at from ${runningJobs(sql)}
          where j.queue = ${queue} order by j.started_at desc limit ${countLimit}`,
      ]
    case 'due':
      return [
        sql`select j.id, j.tenant, 0 as priority, j.due_at as at from jobs j
          where j.queue = ${queue} and j.due_at is not null order by j.due_at limit ${countLimit}`,
      ]
    case 'completed':
      return [ended(sql, 'completed', queue)]
    case 'failed':
      return [ended(sql, 'failed', queue), ended(sql, 'cancelled', queue)]
  }
}

function ended(sql: Sql, status: TerminalStatus, queue: Fragment) {
  return sql`select member.id, e.tenant, 0 as priority, e.ended_at as at from ${endedJobs(sql)}
    where e.queue = ${queue} and e.status = ${status} order by e.ended_at desc limit ${countLimit}`
}

function orderOf(sql: Sql, lane: BoardLane): Fragment {
  switch (lane) {
    case 'queued':
    case 'due':
      return sql`priority, at`
    case 'running':
    case 'completed':
    case 'failed':
      return sql`at desc`
  }
}

function columns(sql: Sql) {
  return sql`j.id, j.tenant, j.type, j.queue, j.status, j.priority, j.error, j.metadata, j.tags, j.internal, j.run_at, j.expires_at,
    j.max_attempts, j.timeout_ms, j.attempts_made, j.crashes, j.epoch, j.progress, j.progress_note, j.redrive_of, j.redriven_as,
    j.deduplication_key, j.created_at,
    j.started_at, j.finished_at, j.worker_id, w.host as worker_host, w.pid as worker_pid, j.cancel_requested_at, j.ticketed_at,
    octet_length(j.input::text) as input_bytes, octet_length(j.output::text) as output_bytes`
}

function preview(sql: Sql, column: 'input' | 'output') {
  return sql`case when octet_length(j.${sql(column)}::text) <= ${previewLimit}::int then j.${sql(column)} end as ${sql(column)}`
}
