import { plainArray, textArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { newArrivals } from './live.ts'
import { ticketable, type Ticketable } from './requeue.ts'
import { listedColumns, type NextFiring, type ScheduleSummary } from './schedules.ts'
import { newWords } from './search-words.ts'
import type { JobStatus } from './statuses.ts'
import { pruneLimit } from './prune.ts'
import { rfc3339 } from './telling.ts'

/** Schedules that are fired in one round at most. */
export const dueLimit = 500

/** A schedule of which an occurrence is to be fired, with the time by the clock of Postgres. */
export interface DueSchedule extends ScheduleSummary {
  readonly nextAt: Date
  readonly dueAt: Date
  readonly now: Date
  /** Whether the last run has not ended. */
  readonly isRunning: boolean
  /** What its input and metadata take in the table, in bytes. */
  readonly bytes: number
}

/** What is due, and how long until something is, in milliseconds; undefined when nothing will be. */
export interface Due {
  readonly schedules: readonly DueSchedule[]
  readonly nextInMs: number | undefined
}

/** Finds the schedules that are due, the earliest first, up to {@link dueLimit}. */
export async function findDue(sql: Sql): Promise<Due> {
  const rows = await sql<(DueSchedule & { nextInMs: number | null })[]>`
    with first as (
      select min(due_at) as due_at from schedules where due_at is not null
    )
    select due.*, statement_timestamp() as now, exists (select from jobs where id = due.last_job_id and finished_at is null) as is_running, extract(epoch from first.due_at - statement_timestamp())::float8 * 1000 as next_in_ms
    from first left join lateral (
      select ${listedColumns(sql)}, pg_column_size(s.input) + pg_column_size(s.metadata) as bytes from schedules s where s.due_at <= statement_timestamp() order by s.due_at limit ${dueLimit}
    ) as due on true`
  return { schedules: rows.filter(({ id }) => id !== null), nextInMs: rows[0]?.nextInMs ?? undefined }
}

/** An occurrence, and what is to become of it. */
export interface NewOccurrence {
  readonly at: Date
  /** `due` makes a job, unless `isExclusive` and the last one is unfinished. */
  readonly outcome: 'due' | 'overlapped' | 'missed'
  /** Of the job that is made. */
  readonly jobId: string
  readonly isExclusive?: boolean
  /** Last of the occurrences that this one stands for, and how many they are, if they were counted. */
  readonly through?: Date | undefined
  readonly count?: number | undefined
}

/** What is told of occurrences that could not be fired in time. */
export interface MissedEvent {
  readonly id: string
  readonly from: Date
  readonly through: Date
  /** Absent when they were too many to be counted. */
  readonly count: number | undefined
  /** How many of them are fired now. */
  readonly fired: number
}

/** What is done about a schedule that is due. */
export interface Firing {
  readonly schedule: DueSchedule
  readonly occurrences: readonly NewOccurrence[]
  readonly next: NextFiring
  readonly missed?: MissedEvent | undefined
}

/**
 * Makes the jobs of occurrences and moves their schedules on, in one statement: each occurrence once, whoever else fires. A schedule that
 * was changed, paused, run by hand or moved on meanwhile is left alone, and so is one that somebody else has in hand.
 *
 * @returns the jobs, which now want a ticket, and how many schedules were taken in hand.
 */
export async function fire(
  sql: Sql,
  firings: readonly Firing[],
): Promise<{ readonly jobs: Ticketable[]; readonly taken: number }> {
  const plain = (pick: (firing: Firing) => string | number | null | undefined) =>
    plainArray(firings.map((firing) => pick(firing) ?? null))
  const json = (pick: (firing: Firing) => unknown) =>
    textArray(firings.map((firing) => (pick(firing) === undefined ? null : JSON.stringify(pick(firing)))))
  const rows = await sql<(Ticketable & { taken: number })[]>`
    with step as materialized (
      select * from unnest(${plain(({ schedule }) => schedule.id)}::text::uuid[], ${plain(({ schedule }) => schedule.version)}::text::int[],
        ${plain(({ schedule }) => schedule.nextAt.toISOString())}::text::timestamptz[], ${plain(({ schedule }) => schedule.lastJobId)}::text::uuid[],
        ${plain(({ next }) => next.nextAt?.toISOString())}::text::timestamptz[], ${plain(({ next }) => next.dueAt?.toISOString())}::text::timestamptz[],
        ${plain(({ occurrences }) => lastOf(occurrences))}::text::uuid[], ${plain(({ occurrences }) => lastOf(occurrences.filter((each) => !each.isExclusive)))}::text::uuid[],
        ${json(({ occurrences }) => occurrences)}::text::json[], ${json(({ missed }) => missed)}::text::json[]
      ) as step (schedule_id, version, expected, last_known, new_next, new_due, last_if_free, last_if_busy, occurrences, told)
    ), mine as materialized (
      select s.*, step.new_next, step.new_due, step.last_if_free, step.last_if_busy, step.occurrences, step.told,
        exists (select from jobs where id = s.last_job_id and finished_at is null) as busy
      from step join schedules s on s.id = step.schedule_id and s.version = step.version and s.next_at = step.expected
        and s.last_job_id is not distinct from step.last_known
      where s.due_at is not null order by s.id for update of s skip locked
    ), item as materialized (
      select mine.*, i.at, i."jobId" as job_id, i.through, i.count,
        case when i.outcome <> 'due' then i.outcome when i."isExclusive" and mine.busy then 'overlapped' else 'fired' end as outcome
      from mine cross join lateral json_to_recordset(mine.occurrences)
        as i (at timestamptz, outcome text, "jobId" uuid, "isExclusive" boolean, through timestamptz, count int)
      where not exists (select from occurrences o where o.schedule_id = mine.id and o.at = i.at and not o.manual)
    ), ${makeRuns(sql)}, moved as (
      update schedules s set next_at = mine.new_next, due_at = mine.new_due,
        last_job_id = coalesce(case when mine.busy then mine.last_if_busy else mine.last_if_free end, s.last_job_id)
      from mine where s.id = mine.id
    ), event as (
      insert into outbox (id, tenant, type, occurred_at, data, sequence)
      select (told->>'id')::uuid, tenant, 'schedule.missed', statement_timestamp(), json_strip_nulls(json_build_object('name', name,
        'from', told->'from', 'through', told->'through', 'count', told->'count', 'fired', told->'fired')), 1
      from mine where told is not null
    ), taken as (
      select count(*)::int as taken from mine
    )
    select taken.taken, job.* from taken left join (select ${ticketable(sql)} from changed j) as job on true`
  return { jobs: rows.filter(({ id }) => id !== null), taken: rows[0]?.taken ?? 0 }
}

/** @returns the job of the last of the occurrences that are to be fired. */
function lastOf(occurrences: readonly NewOccurrence[]): string | undefined {
  return occurrences.findLast(({ outcome }) => outcome === 'due')?.jobId
}

/**
 * Makes a job of a schedule now, whatever its rule says and also while it is paused. It is the last run from then on, unless the one before
 * is unfinished: what may not overlap has to wait for that one.
 *
 * @returns it, or undefined when there is no such schedule.
 */
export async function trigger(
  sql: Sql,
  { tenant, name, jobId }: { readonly tenant: string; readonly name: string; readonly jobId: string },
): Promise<Ticketable | undefined> {
  const [job] = await sql<Ticketable[]>`
    with mine as materialized (
      select * from schedules where tenant = ${tenant} and name = ${name} for update
    ), item as materialized (
      select mine.*, clock_timestamp() as at, ${jobId}::uuid as job_id, null::timestamptz as through, null::int as count,
        'fired' as outcome from mine
    ), ${makeRuns(sql, { isManual: true })}, moved as (
      update schedules s set last_job_id = ${jobId} from mine where s.id = mine.id
        and not exists (select from jobs where id = mine.last_job_id and finished_at is null)
    )
    select ${ticketable(sql)} from changed j`
  return job
}

/** Stores each `item`, which has all columns of its schedule, as an occurrence, and makes the jobs of those that are fired, as `changed`. */
function makeRuns(sql: Sql, { isManual = false } = {}) {
  return sql`changed as (
      insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, ticketed_at,
        created_at)
      select job_id, tenant, type, queue, 'queued', priority, input, ${told(sql)}, tags, false, max_attempts, timeout_ms,
        statement_timestamp(), statement_timestamp()
      from item where outcome = 'fired'
      returning id, tenant, queue, status, priority, type, crashes, attempts_made, ticketed_at, tags, metadata
    ), occurrence as (
      insert into occurrences (schedule_id, at, manual, tenant, outcome, job_id, through, count, recorded_at)
      select id, at, ${isManual}::boolean, tenant, outcome, case when outcome = 'fired' then job_id end, through, count,
        statement_timestamp()
      from item
    ), ${newArrivals(sql)}, ${newWords(sql)}`
}

/** The metadata of a schedule, and what its jobs are of. They stay text: jsonb takes less than json does. */
function told(sql: Sql) {
  const own = sql`'"schedule":' || to_json(name) || ',"occurrence":"' || ${rfc3339(sql, sql`at`)} || '"}'`
  return sql`(left(metadata::text, -1) || case when metadata::text = '{}' then '' else ',' end || ${own})::json`
}

/** What became of an occurrence, with its job. */
export interface OccurrenceRow {
  readonly at: Date
  readonly manual: boolean
  readonly outcome: 'fired' | 'overlapped' | 'missed'
  readonly jobId: string | null
  readonly jobStatus: JobStatus | null
  readonly through: Date | null
  readonly count: number | null
  readonly recordedAt: Date
}

/** Lists the occurrences of a schedule, the latest first. @param before only those before this one: where the page before ended. */
export async function listOccurrences(
  sql: Sql,
  scheduleId: string,
  { limit, before }: { readonly limit: number; readonly before?: string | undefined },
): Promise<(OccurrenceRow & { readonly place: string })[]> {
  return sql<(OccurrenceRow & { place: string })[]>`
    select o.at, o.manual, o.outcome, o.job_id, (select status from jobs where id = o.job_id) as job_status, o.through, o.count, o.recorded_at,
      o.at::text || ' ' || o.manual::text as place
    from occurrences o where o.schedule_id = ${scheduleId}
      and ${before === undefined ? sql`true` : sql`(o.at, o.manual) < (${before.split(' ').slice(0, -1).join(' ')}::text::timestamptz, ${before.split(' ').at(-1) ?? ''}::text::boolean)`}
    order by o.at desc, o.manual desc limit ${limit}`
}

/** Forgets occurrences that were recorded so long ago, in milliseconds, up to {@link pruneLimit} at a time. @returns how many. */
export async function pruneOccurrences(sql: Sql, olderThanMs: number): Promise<number> {
  const rows = await sql`
    delete from occurrences where ctid = any(array(
      select ctid from occurrences where recorded_at < statement_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'
      order by recorded_at limit ${pruneLimit}))
    returning 1`
  return rows.length
}
