import type { Sql } from './connect.ts'
import { plainArray } from './arrays.ts'
import { queuedJobs, suspectCrashes } from './live.ts'
import { endings } from './endings.ts'
import { rfc3339, telling, tellsNothing, type Tells } from './telling.ts'

/** A job that was taken for one attempt. */
export interface ClaimedJob {
  readonly id: string
  readonly tenant: string
  readonly type: string
  readonly queue: string
  readonly input: unknown
  readonly epoch: number
  readonly crashes: number
  readonly attemptsMade: number
  readonly maxAttempts: number
  readonly timeoutMs: number
  /** Time from the job's creation to this claim, in milliseconds. */
  readonly waitedMs: number
}

/** `alive` false: my own row in `workers` is gone, so nothing was taken and nothing is known about the ids. */
export interface ClaimResult {
  readonly alive: boolean
  readonly jobs: ClaimedJob[]
}

/** Claims after which a job is given up: loops of snoozes and hand-backs end here. */
export const maxClaims = 1_000
/** Which jobs a claim takes: those with fewer than {@link suspectCrashes} crashes, or the others. */
export type Lane = 'ordinary' | 'suspect'

/**
 * Takes those of `ids` that are queued, not paused, not expired and of this lane, for the worker process `workerId`.
 * Expired rows and rows claimed too often end as failed in the same statement.
 *
 * Rows are locked in the order of the ids, which are sorted, so that two claims never wait for each other. The limit tells
 * the planner that the ids are few, so that it looks them up one by one even in a table that it takes for tiny.
 *
 * @param options `skipLocked` leaves locked rows alone instead of waiting: their ticket is lost then, which a probe finds; `tells` says
 *   whether `job.started` is asked for.
 * @throws the driver's error; the claim may have happened all the same, which the ownership check finds.
 */
export async function claimJobs(
  sql: Sql,
  workerId: string,
  ids: readonly string[],
  lane: Lane = 'ordinary',
  { skipLocked = false, tells = tellsNothing }: { readonly skipLocked?: boolean; readonly tells?: Tells } = {},
): Promise<ClaimResult> {
  const started = telling(sql, tells('job.started'), 'job.started', {
    counts: sql`not ${hopeless(sql)}`,
    holds: sql`status = 'running'`,
    data: sql`json_build_object('status', status, 'attempt', attempts_made + 1, 'startedAt', ${rfc3339(sql, sql`started_at`)})`,
  })
  const rows = await sql<(ClaimedJob & { alive: boolean; id: string | null })[]>`
    with me as materialized (select id from workers where id = ${workerId} for key share),
    changed as (
      update jobs j set
        status = case when ${hopeless(sql)} then 'failed' else 'running' end,
        worker_id = case when ${hopeless(sql)} then null else ${workerId}::uuid end,
        epoch = j.epoch + case when ${hopeless(sql)} then 0 else 1 end,
        started_at = case when ${hopeless(sql)} then j.started_at else statement_timestamp() end,
        finished_at = case when ${hopeless(sql)} then clock_timestamp() end,
        error = case when j.expires_at <= statement_timestamp() then ${expiredError}::text::json
          when j.epoch >= ${maxClaims} then ${tooManyClaimsError}::text::json else j.error end,
        ticketed_at = null, progress = null, progress_note = null${started.counted}
      from (${skipLocked ? unlockedRows(sql, ids) : rowsOf(sql, ids)}) as wanted (id)
      where j.id = wanted.id and j.status = 'queued' and exists (select from me)
        and (j.crashes >= ${suspectCrashes}) = ${lane === 'suspect'}::boolean
        and j.queue <> all (array(select name from queues where paused))
      returning j.id, j.tenant, j.type, j.queue, j.status, j.input, j.epoch, j.crashes, j.attempts_made, j.max_attempts,
        j.timeout_ms, j.internal, j.created_at, j.started_at, j.finished_at${started.returned}
    ), claim as (
      insert into claims (worker_id, claimed_at, job_ids)
      select ${workerId}::uuid, statement_timestamp(), array_agg(id) from changed where status = 'running' having count(*) > 0
    ), ${endings(sql)}${started.event}
    select exists (select from me) as alive, taken.id, tenant, type, queue, input, epoch, crashes, attempts_made, max_attempts, timeout_ms,
      round(extract(epoch from started_at - created_at) * 1000)::float8 as waited_ms
    from (select) as one left join changed as taken on taken.status = 'running'`
  return { alive: rows[0]?.alive ?? false, jobs: rows[0]?.id ? rows : [] }
}

function rowsOf(sql: Sql, ids: readonly string[]) {
  return sql`select * from unnest(${plainArray(ids.toSorted())}::text::uuid[]) limit ${ids.length}`
}

function unlockedRows(sql: Sql, ids: readonly string[]) {
  return sql`
    select id from jobs where id = any(${plainArray(ids)}::text::uuid[]) and status = 'queued'
    order by id limit ${ids.length} for update skip locked`
}

/** Suspects among which one is found: so many processes that look at once rarely find the same one. */
const suspectsToChoose = 20

/**
 * Finds one of the oldest suspects of these queues, by chance. Suspects have no tickets: whoever runs them looks for one while he
 * runs none, so that a poison job takes no neighbour along.
 */
export async function findSuspect(sql: Sql, queues: readonly string[]): Promise<string | undefined> {
  const [row] = await sql<{ id: string }[]>`
    select id from (
      select j.id from ${queuedJobs(sql)}
      where a.queue = any(${[...queues]}::text[]) and a.suspect
        and not exists (select from queues q where q.name = a.queue and q.paused)
      order by a.ticketed_at limit ${suspectsToChoose}) as oldest
    order by random() limit 1`
  return row?.id
}

function hopeless(sql: Sql) {
  return sql`(j.expires_at is not null and j.expires_at <= statement_timestamp() or j.epoch >= ${maxClaims})`
}

const expiredError = JSON.stringify({ reason: 'expired', message: 'The job was not started before its expiresAt.' })
const tooManyClaimsError = JSON.stringify({
  reason: 'too_many_claims',
  message: `The job was started ${maxClaims.toLocaleString('en')} times without an outcome.`,
})
