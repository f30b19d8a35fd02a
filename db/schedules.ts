import { textArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import type { JobStatus } from './statuses.ts'

/**
 * When a schedule fires, as it is stored: either `cron`, with what goes with it, or `everyMs`; what belongs to the other kind is not looked at.
 * Instants are RFC 3339. What it means is said in queues/recurrence.
 */
export interface ScheduleRule {
  /** Five fields: minute, hour, day of month, month, day of week; six, seconds first, if `seconds` is true. */
  readonly cron?: string | undefined
  readonly seconds?: boolean | undefined
  /** IANA name of the zone whose wall clocks `cron` means; default `UTC`. */
  readonly timeZone?: string | undefined
  /** A time that clocks skip fires right `after` the gap (default), or is dropped. */
  readonly skipped?: 'after' | 'drop' | undefined
  /** A time that clocks show twice fires once or twice; `auto` (default) is twice if the expression takes every hour of a day, else once. */
  readonly repeated?: 'auto' | 'once' | 'twice' | undefined
  /** Milliseconds between occurrences, whatever clocks do: a whole number from 1,000 to 366 days. */
  readonly everyMs?: number | undefined
  /** An instant of the row that `everyMs` makes in both directions; default `startsAt`, else when the schedule was made. */
  readonly anchor?: string | undefined
  /** No occurrence is before this instant. */
  readonly startsAt?: string | undefined
  /** No occurrence is after this instant. */
  readonly endsAt?: string | undefined
}

export const missedPolicies = ['skip', 'once', 'all'] as const
export type MissedPolicy = (typeof missedPolicies)[number]
export const overlapPolicies = ['allow', 'skip', 'cancel-previous'] as const
export type OverlapPolicy = (typeof overlapPolicies)[number]
/** Who a schedule belongs to: people who use the API, or the schedules file. */
export type ScheduleSource = 'api' | 'file'

/** What people say about a schedule, with the terms of its type's contract. */
export interface ScheduleTerms {
  readonly rule: ScheduleRule
  /** Milliseconds. */
  readonly jitterMs: number
  readonly missed: MissedPolicy
  /** Occurrences that `all` fires at most. */
  readonly missedMax: number
  readonly overlap: OverlapPolicy
  readonly type: string
  readonly queue: string
  /** JSON text. */
  readonly input: string
  readonly priority: number
  readonly tags: readonly string[]
  /** JSON text. */
  readonly metadata: string
  readonly maxAttempts: number
  readonly timeoutMs: number
}

/** A schedule as it is to be. */
export interface NewSchedule extends ScheduleTerms {
  readonly id: string
  /** By the clock of Postgres. */
  readonly createdAt: Date
  readonly tenant: string
  readonly name: string
  readonly source: ScheduleSource
  /** Stays as it is when absent; a new one is not paused. */
  readonly paused?: boolean | undefined
  /** Where it goes on. */
  readonly next: NextFiring
  /** The one of this name, as it was read. Absent: there is none. */
  readonly known?: Pick<ScheduleRow, 'version' | 'nextAt'> | undefined
}

/** The next occurrence, and when it is to be fired; both null when there is none. */
export interface NextFiring {
  readonly nextAt: Date | null
  readonly dueAt: Date | null
}

/** A schedule as it stands. */
export interface ScheduleRow extends Omit<ScheduleTerms, 'input' | 'metadata'> {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly source: ScheduleSource
  readonly version: number
  readonly input: unknown
  readonly metadata: Record<string, unknown>
  readonly paused: boolean
  readonly nextAt: Date | null
  readonly dueAt: Date | null
  readonly lastJobId: string | null
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** What became of the last run of a schedule. */
export interface LastRun {
  readonly lastStatus: JobStatus | null
  readonly lastCreatedAt: Date | null
}

/** A schedule without what may be large. */
export type ScheduleSummary = Omit<ScheduleRow, 'input' | 'metadata'>
/** A schedule in a listing. */
export type ListedSchedule = ScheduleSummary & LastRun

/** A schedule with what became of its last run. */
export type ScheduleWithLast = ScheduleRow & LastRun

/** What a change left. */
export interface Upserted {
  readonly row: ScheduleRow
  readonly change: 'created' | 'changed' | 'unchanged'
}

/**
 * Makes a schedule, or changes the one of this name, if it stands as it was known. An occurrence that has come and was not fired yet is
 * recorded as missed where the schedule does not go on with it.
 *
 * @returns undefined when it does not, or belongs to another source; nothing was done then.
 */
export async function upsertSchedule(sql: Sql, schedule: NewSchedule): Promise<Upserted | undefined> {
  const { id, createdAt, tenant, name, source, paused, next, known, ...terms } = schedule
  const willPause = sql`coalesce(${paused ?? null}::boolean, s.paused)`
  const [written] = await sql<(ScheduleRow & { created: boolean })[]>`
    with written as (
    insert into schedules as s (id, tenant, name, source, rule, jitter_ms, missed, missed_max, overlap, paused, type, queue, input, priority,
      tags, metadata, max_attempts, timeout_ms, next_at, due_at, created_at, updated_at)
    values (${id}, ${tenant}, ${name}, ${source}, ${JSON.stringify(terms.rule)}::text::json, ${terms.jitterMs}, ${terms.missed},
      ${terms.missedMax}, ${terms.overlap}, ${paused ?? false}, ${terms.type}, ${terms.queue}, ${terms.input}::text::json,
      ${terms.priority}, ${textArray(terms.tags)}::text::text[], ${terms.metadata}::text::json, ${terms.maxAttempts}, ${terms.timeoutMs},
      ${instant(next.nextAt)}::text::timestamptz, case when ${paused ?? false} then null else ${instant(next.dueAt)}::text::timestamptz end,
      ${instant(createdAt)}::text::timestamptz, statement_timestamp())
    on conflict (tenant, name) do update set rule = excluded.rule, jitter_ms = excluded.jitter_ms, missed = excluded.missed,
      missed_max = excluded.missed_max, overlap = excluded.overlap, paused = ${willPause}, type = excluded.type, queue = excluded.queue,
      input = excluded.input, priority = excluded.priority, tags = excluded.tags, metadata = excluded.metadata,
      max_attempts = excluded.max_attempts, timeout_ms = excluded.timeout_ms, next_at = excluded.next_at,
      due_at = case when ${willPause} then null else ${instant(next.dueAt)}::text::timestamptz end,
      version = s.version + case when ${differs(sql, willPause)} then 1 else 0 end,
      updated_at = case when ${differs(sql, willPause)} then statement_timestamp() else s.updated_at end
    where s.id = excluded.id and s.source = excluded.source and s.version = ${known?.version ?? 0}
      and s.next_at is not distinct from ${instant(known?.nextAt ?? null)}::text::timestamptz
    returning ${scheduleColumns(sql)}, s.xmax = 0 as created
    ), left_out as (
      ${recordLeftOut(sql)} join written using (id)
      where ${isOverdue(sql)} and (written.due_at is null or written.next_at is distinct from s.next_at) on conflict do nothing
    )
    select * from written`
  if (!written) return undefined
  const { created, ...row } = written
  return { row, change: created ? 'created' : row.version === known?.version ? 'unchanged' : 'changed' }
}

function differs(sql: Sql, willPause: ReturnType<typeof comparable>) {
  return sql`(${comparable(sql, 's')}, s.paused) is distinct from (${comparable(sql, 'excluded')}, ${willPause})`
}

/** Whether an occurrence of the schedule `s` has come and was not fired yet. */
function isOverdue(sql: Sql) {
  return sql`s.due_at is not null and s.next_at <= statement_timestamp()`
}

/** Records that occurrences of schedules `s`, uncounted, will not be fired; to be narrowed. */
function recordLeftOut(sql: Sql) {
  return sql`insert into occurrences (schedule_id, at, manual, tenant, outcome, through, recorded_at)
    select s.id, s.next_at, false, s.tenant, 'missed', statement_timestamp(), statement_timestamp() from schedules s`
}

function comparable(sql: Sql, table: 's' | 'excluded') {
  const t = sql(table)
  return sql`${t}.rule::jsonb, ${t}.jitter_ms, ${t}.missed, ${t}.missed_max, ${t}.overlap, ${t}.type, ${t}.queue, ${t}.input::text,
    ${t}.priority, ${t}.tags, ${t}.metadata::text, ${t}.max_attempts, ${t}.timeout_ms`
}

/** @returns the tenant's schedule, or undefined. */
export async function readSchedule(sql: Sql, tenant: string, name: string): Promise<ScheduleWithLast | undefined> {
  const [row] = await sql<ScheduleWithLast[]>`
    select ${scheduleColumns(sql)}, ${lastRun(sql)} where s.tenant = ${tenant} and s.name = ${name}`
  return row
}

/** What a listing may be narrowed to. */
export interface ScheduleFilter {
  readonly limit: number
  /** Only those whose name comes after this one: where the page before ended. */
  readonly after?: string | undefined
  /** Only those whose jobs go there. */
  readonly queue?: string
  readonly source?: ScheduleSource
}

/** Lists a tenant's schedules by name, without their input and metadata, which may be large. */
export async function listSchedules(
  sql: Sql,
  tenant: string,
  { limit, after, queue, source }: ScheduleFilter,
): Promise<ListedSchedule[]> {
  return sql<ListedSchedule[]>`
    select ${listedColumns(sql)}, ${lastRun(sql)}
    where s.tenant = ${tenant} and ${ofQueue(sql, queue)} and ${after === undefined ? sql`true` : sql`s.name > ${after}`}
      and ${source === undefined ? sql`true` : sql`s.source = ${source}`}
    order by s.name limit ${limit}`
}

function lastRun(sql: Sql) {
  return sql`last.status as last_status, last.created_at as last_created_at
    from schedules s left join lateral (select status, created_at from jobs where id = s.last_job_id limit 1) as last on true`
}

function ofQueue(sql: Sql, queue: string | undefined) {
  return queue === undefined ? sql`true` : sql`queue = ${queue}`
}

/** @returns how many schedules a tenant has, of one queue or of all; counting stops at `upTo`. */
export async function countSchedules(
  sql: Sql,
  tenant: string,
  { queue, upTo }: { readonly queue?: string; readonly upTo: number },
): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from (
      select from schedules where tenant = ${tenant} and ${ofQueue(sql, queue)} limit ${upTo}) as counted`
  return row?.count ?? 0
}

/** Deletes a schedule; the jobs that it made stay, and what is known of its occurrences until it is pruned. @returns false when there is no such. */
export async function deleteSchedule(sql: Sql, tenant: string, name: string, source: ScheduleSource): Promise<boolean> {
  const rows = await sql`
    delete from schedules where tenant = ${tenant} and name = ${name} and source = ${source} returning id`
  return rows.length > 0
}

/** Keeps a schedule from firing; an occurrence that has come and was not fired yet is recorded as missed. */
export async function pauseSchedule(sql: Sql, tenant: string, name: string): Promise<void> {
  await sql`
    with mine as materialized (
      select id from schedules where tenant = ${tenant} and name = ${name} and not paused for update
    ), left_out as (
      ${recordLeftOut(sql)} where s.id in (select id from mine) and ${isOverdue(sql)} on conflict do nothing
    )
    update schedules set paused = true, due_at = null, version = version + 1, updated_at = statement_timestamp()
    where id in (select id from mine)`
}

/**
 * Lets a paused schedule go on with the next occurrence; those of the pause are none. One that is not paused stays as it is.
 *
 * @returns whether it was paused and its version is still the one given.
 */
export async function resumeSchedule(sql: Sql, { id, version }: ScheduleRow, next: NextFiring): Promise<boolean> {
  const rows = await sql`
    update schedules set paused = false, next_at = ${instant(next.nextAt)}::text::timestamptz, due_at = ${instant(next.dueAt)}::text::timestamptz,
      version = version + 1, updated_at = statement_timestamp()
    where id = ${id} and version = ${version} and paused returning id`
  return rows.length > 0
}

/** Columns of a {@link ScheduleRow}, of the table `s`. */
export function scheduleColumns(sql: Sql) {
  return sql`${listedColumns(sql)}, s.input, s.metadata`
}

/** The same but for what may be large. */
export function listedColumns(sql: Sql) {
  return sql`s.id, s.tenant, s.name, s.source, s.version, s.rule, s.jitter_ms, s.missed, s.missed_max, s.overlap, s.paused, s.type, s.queue,
    s.priority, s.tags, s.max_attempts, s.timeout_ms, s.next_at, s.due_at, s.last_job_id, s.created_at, s.updated_at`
}

function instant(date: Date | null): string | null {
  return date?.toISOString() ?? null
}
