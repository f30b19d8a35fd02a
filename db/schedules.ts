import { textArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import type { JobStatus } from './statuses.ts'

/** When a schedule fires, as it is stored; queues/recurrence reads it. Instants are RFC 3339. */
export interface ScheduleRule {
  readonly cron?: string | undefined
  readonly seconds?: boolean | undefined
  readonly timeZone?: string | undefined
  readonly skipped?: 'after' | 'drop' | undefined
  readonly repeated?: 'auto' | 'once' | 'twice' | undefined
  readonly everyMs?: number | undefined
  readonly anchor?: string | undefined
  readonly startsAt?: string | undefined
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
  /** Used, as is `createdAt`, if there is none of this name. */
  readonly id: string
  /** By the clock of Postgres. */
  readonly createdAt: Date
  readonly tenant: string
  readonly name: string
  readonly source: ScheduleSource
  /** Stays as it is when absent; a new one is not paused. */
  readonly paused?: boolean | undefined
  /** Where it goes on if its rule is new or it was paused. */
  readonly next: NextFiring
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

/** A schedule with what became of its last run. */
export interface ScheduleWithLast extends ScheduleRow {
  readonly lastStatus: JobStatus | null
  readonly lastCreatedAt: Date | null
}

/** What a change left. */
export interface Upserted {
  readonly row: ScheduleRow
  readonly change: 'created' | 'changed' | 'unchanged'
}

/**
 * Makes a schedule, or changes the one of this name. Where nothing differs nothing is written, and its next firing stays where it is; it
 * does also where the rule is the same.
 *
 * @returns undefined when the one of this name belongs to somebody else.
 */
export async function upsertSchedule(sql: Sql, schedule: NewSchedule): Promise<Upserted | undefined> {
  const { id, createdAt, tenant, name, source, paused, next, ...terms } = schedule
  const [written] = await sql<(ScheduleRow & { created: boolean })[]>`
    insert into schedules as s (id, tenant, name, source, rule, jitter_ms, missed, missed_max, overlap, paused, type, queue, input, priority,
      tags, metadata, max_attempts, timeout_ms, next_at, due_at, created_at, updated_at)
    values (${id}, ${tenant}, ${name}, ${source}, ${JSON.stringify(terms.rule)}::text::json, ${terms.jitterMs}, ${terms.missed},
      ${terms.missedMax}, ${terms.overlap}, ${paused ?? false}, ${terms.type}, ${terms.queue}, ${terms.input}::text::json,
      ${terms.priority}, ${textArray(terms.tags)}::text::text[], ${terms.metadata}::text::json, ${terms.maxAttempts}, ${terms.timeoutMs},
      ${instant(next.nextAt)}::text::timestamptz, case when ${paused ?? false} then null else ${instant(next.dueAt)}::text::timestamptz end,
      ${instant(createdAt)}::text::timestamptz, statement_timestamp())
    on conflict (tenant, name) do update set rule = excluded.rule, jitter_ms = excluded.jitter_ms, missed = excluded.missed,
      missed_max = excluded.missed_max, overlap = excluded.overlap, paused = coalesce(${paused ?? null}::boolean, s.paused),
      type = excluded.type, queue = excluded.queue, input = excluded.input, priority = excluded.priority, tags = excluded.tags,
      metadata = excluded.metadata, max_attempts = excluded.max_attempts, timeout_ms = excluded.timeout_ms,
      next_at = case when ${goesOn(sql)} then s.next_at else ${instant(next.nextAt)}::text::timestamptz end,
      due_at = case when coalesce(${paused ?? null}::boolean, s.paused) then null when ${goesOn(sql)} then s.due_at
        else ${instant(next.dueAt)}::text::timestamptz end,
      version = s.version + 1, updated_at = statement_timestamp()
    where s.source = excluded.source and (${comparable(sql, 's')}, s.paused)
      is distinct from (${comparable(sql, 'excluded')}, coalesce(${paused ?? null}::boolean, s.paused))
    returning ${scheduleColumns(sql)}, s.version = 1 as created`
  if (written) {
    const { created, ...row } = written
    return { row, change: created ? 'created' : 'changed' }
  }
  const row = await readSchedule(sql, tenant, name)
  return row?.source === source ? { row, change: 'unchanged' } : undefined
}

/** Whether the stored schedule `s` keeps its next firing although it is changed to `excluded`. */
function goesOn(sql: Sql) {
  return sql`(s.rule::jsonb = excluded.rule::jsonb and s.jitter_ms = excluded.jitter_ms and not s.paused)`
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

/**
 * Lists a tenant's schedules by name.
 *
 * @param queue only those whose jobs go there. @param after only those whose name comes after this one: where the page before ended.
 */
export async function listSchedules(
  sql: Sql,
  tenant: string,
  { limit, after, queue }: { readonly limit: number; readonly after?: string | undefined; readonly queue?: string },
): Promise<ScheduleWithLast[]> {
  return sql<ScheduleWithLast[]>`
    select ${scheduleColumns(sql)}, ${lastRun(sql)}
    where s.tenant = ${tenant} and ${ofQueue(sql, queue)} and ${after === undefined ? sql`true` : sql`s.name > ${after}`}
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

/** Deletes a schedule and what is known of its occurrences; the jobs that it made stay. @returns false when there is no such. */
export async function deleteSchedule(sql: Sql, tenant: string, name: string, source: ScheduleSource): Promise<boolean> {
  const rows = await sql`
    with gone as (
      delete from schedules where tenant = ${tenant} and name = ${name} and source = ${source} returning id
    ), forgotten as (
      delete from occurrences where schedule_id in (select id from gone)
    )
    select from gone`
  return rows.length > 0
}

/** Keeps a schedule from firing. @returns it as it is now, or undefined when the tenant has no such. */
export async function pauseSchedule(sql: Sql, tenant: string, name: string): Promise<ScheduleRow | undefined> {
  const [row] = await sql<ScheduleRow[]>`
    update schedules s set paused = true, due_at = null, version = version + 1, updated_at = statement_timestamp()
    where tenant = ${tenant} and name = ${name} returning ${scheduleColumns(sql)}`
  return row
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
  return sql`s.id, s.tenant, s.name, s.source, s.version, s.rule, s.jitter_ms, s.missed, s.missed_max, s.overlap, s.paused, s.type, s.queue,
    s.input, s.priority, s.tags, s.metadata, s.max_attempts, s.timeout_ms, s.next_at, s.due_at, s.last_job_id, s.created_at, s.updated_at`
}

function instant(date: Date | null): string | null {
  return date?.toISOString() ?? null
}
