import { plainArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { newArrivals } from './live.ts'
import { ticketable, type Ticketable } from './requeue.ts'
import { scheduleColumns, type NextFiring, type ScheduleRow } from './schedules.ts'
import type { JobStatus } from './statuses.ts'
import { pruneLimit } from './prune.ts'
import { rfc3339 } from './telling.ts'

/** Schedules that are fired in one round at most. */
export const dueLimit = 500

/** A schedule of which an occurrence is to be fired, with the time by the clock of Postgres. */
export interface DueSchedule extends ScheduleRow {
  readonly nextAt: Date
  readonly dueAt: Date
  readonly now: Date
  /** Whether the last run has not ended. */
  readonly isRunning: boolean
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
      select ${scheduleColumns(sql)} from schedules s where s.due_at <= statement_timestamp() order by s.due_at limit ${dueLimit}
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
 * was changed, paused or moved on meanwhile is left alone, and so is one that somebody else has in hand.
 *
 * @returns the jobs, which now want a ticket.
 */
export async function fire(sql: Sql, firings: readonly Firing[]): Promise<Ticketable[]> {
  const items = firings.flatMap(({ schedule, occurrences }) => occurrences.map((each) => ({ ...each, schedule })))
  const missed = firings.flatMap((each) => (each.missed ? [{ ...each.missed, scheduleId: each.schedule.id }] : []))
  const column = <Item>(list: readonly Item[], pick: (item: Item) => string | number | null | undefined) =>
    plainArray(list.map((item) => pick(item) ?? null))
  return sql<Ticketable[]>`
    with step as materialized (
      select * from unnest(${column(firings, ({ schedule }) => schedule.id)}::text::uuid[],
        ${column(firings, ({ schedule }) => schedule.version)}::text::int[], ${column(firings, ({ schedule }) => quoted(schedule.nextAt))}::text::timestamptz[],
        ${column(firings, ({ next }) => quoted(next.nextAt))}::text::timestamptz[], ${column(firings, ({ next }) => quoted(next.dueAt))}::text::timestamptz[]
      ) as step (schedule_id, version, expected, new_next, new_due)
    ), mine as materialized (
      select s.*, step.new_next, step.new_due from schedules s
      join step on s.id = step.schedule_id and s.version = step.version and s.next_at = step.expected
      where s.due_at is not null order by s.id for update of s skip locked
    ), item as materialized (
      select i.schedule_id, i.at, i.job_id, i.through, i.count, case when i.outcome = 'due' and i.exclusive
          and exists (select from jobs where id = mine.last_job_id and finished_at is null) then 'overlapped'
        when i.outcome = 'due' then 'fired' else i.outcome end as outcome
      from unnest(${column(items, ({ schedule }) => schedule.id)}::text::uuid[], ${column(items, ({ at }) => quoted(at))}::text::timestamptz[],
        ${column(items, ({ jobId }) => jobId)}::text::uuid[], ${column(items, ({ outcome }) => outcome)}::text::text[],
        ${column(items, ({ isExclusive = false }) => String(isExclusive))}::text::boolean[],
        ${column(items, ({ through }) => quoted(through))}::text::timestamptz[], ${column(items, ({ count }) => count)}::text::int[]
      ) as i (schedule_id, at, job_id, outcome, exclusive, through, count)
      join mine on mine.id = i.schedule_id
      where not exists (select from occurrences o where o.schedule_id = i.schedule_id and o.at = i.at and not o.manual)
    ), ${makeRuns(sql)}, moved as (
      update schedules s set next_at = mine.new_next, due_at = mine.new_due, last_job_id = coalesce(last.job_id, s.last_job_id)
      from mine left join lateral (
        select job_id from item where schedule_id = mine.id and outcome = 'fired' order by at desc limit 1
      ) as last on true
      where s.id = mine.id
    ), event as (
      insert into outbox (id, tenant, type, occurred_at, data, sequence)
      select m.id, mine.tenant, 'schedule.missed', statement_timestamp(), json_strip_nulls(json_build_object('name', mine.name,
        'from', ${rfc3339(sql, sql`m.first`)}, 'through', ${rfc3339(sql, sql`m.through`)}, 'count', m.count, 'fired', m.fired)), 1
      from unnest(${column(missed, ({ id }) => id)}::text::uuid[], ${column(missed, ({ scheduleId }) => scheduleId)}::text::uuid[],
        ${column(missed, ({ from }) => quoted(from))}::text::timestamptz[], ${column(missed, ({ through }) => quoted(through))}::text::timestamptz[],
        ${column(missed, ({ count }) => count)}::text::int[], ${column(missed, ({ fired }) => fired)}::text::int[]
      ) as m (id, schedule_id, first, through, count, fired) join mine on mine.id = m.schedule_id
    )
    select ${ticketable(sql)} from changed j`
}

/** Makes a job of a schedule now, whatever its rule says and also while it is paused. @returns it, or undefined when there is no such schedule. */
export async function trigger(
  sql: Sql,
  { tenant, name, jobId }: { readonly tenant: string; readonly name: string; readonly jobId: string },
): Promise<Ticketable | undefined> {
  const [job] = await sql<Ticketable[]>`
    with mine as materialized (
      select * from schedules where tenant = ${tenant} and name = ${name} for update
    ), item as materialized (
      select id as schedule_id, clock_timestamp() as at, ${jobId}::uuid as job_id, null::timestamptz as through, null::int as count,
        'fired' as outcome from mine
    ), ${makeRuns(sql, { isManual: true })}, moved as (
      update schedules s set last_job_id = ${jobId} from mine where s.id = mine.id
    )
    select ${ticketable(sql)} from changed j`
  return job
}

/** Stores each `item` of `mine` as an occurrence, and makes the jobs of those that are fired, as `changed`. */
function makeRuns(sql: Sql, { isManual = false } = {}) {
  return sql`changed as (
      insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, ticketed_at,
        created_at)
      select item.job_id, mine.tenant, mine.type, mine.queue, 'queued', mine.priority, mine.input,
        ${told(sql)}, mine.tags, false, mine.max_attempts, mine.timeout_ms, statement_timestamp(), statement_timestamp()
      from item join mine on mine.id = item.schedule_id where item.outcome = 'fired'
      returning id, queue, status, priority, type, crashes, attempts_made, ticketed_at
    ), occurrence as (
      insert into occurrences (schedule_id, at, manual, tenant, outcome, job_id, through, count, recorded_at)
      select schedule_id, at, ${isManual}::boolean, mine.tenant, outcome, case when outcome = 'fired' then job_id end, through, count,
        statement_timestamp()
      from item join mine on mine.id = item.schedule_id
    ), ${newArrivals(sql)}`
}

/** The metadata of a schedule, and what its jobs are of. They stay text: jsonb takes less than json does. */
function told(sql: Sql) {
  const own = sql`'"schedule":' || to_json(mine.name) || ',"occurrence":"' || ${rfc3339(sql, sql`item.at`)} || '"}'`
  return sql`(left(mine.metadata::text, -1) || case when mine.metadata::text = '{}' then '' else ',' end || ${own})::json`
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

/** An instant as an element of an array. */
function quoted(date: Date | null | undefined): string | null {
  return date ? date.toISOString() : null
}
