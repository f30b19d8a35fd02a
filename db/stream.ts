import type { Sql } from './connect.ts'
import type { JobError } from './settle.ts'

/** What an event tells of its job, as it stands when it is read. */
export interface StreamJob {
  readonly id: string
  readonly type: string
  readonly queue: string
  readonly status: string
  readonly tags: readonly string[]
  readonly attemptsMade: number
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  /** Why it failed. */
  readonly error: Pick<JobError, 'reason' | 'message'> | null
  /** JSON text of the output, for those who ask for it; null where there is none, or it is longer than they want. */
  readonly output: string | null
}

/** One event of the stream. */
export interface StreamEvent {
  readonly position: number
  readonly id: string
  readonly tenant: string
  readonly type: string
  readonly occurredAt: Date
  /** Number of the event among those of its job, from 1. */
  readonly sequence: number
  /** Null for events that are of no job. */
  readonly jobId: string | null
  /** Null for events that are of no job, and of jobs that were pruned. */
  readonly job: StreamJob | null
  /** Of events that do not end a job. */
  readonly data: unknown
}

/** First and last position that can be read: who has read less far than `tail` has missed something. */
export interface StreamEnds {
  readonly head: number
  readonly tail: number
}

/** Which events are read. */
export interface StreamRange {
  /** Events after this position. */
  readonly after: number
  /** Positions that are looked at, at most. */
  readonly limit: number
  /** Whose events; everybody's when absent. */
  readonly tenant?: string | undefined
  /** Outputs up to so many characters are read too; none when absent. */
  readonly outputLimit?: number | undefined
}

/** Which events of one job are read. */
export interface JobRange {
  readonly tenant: string
  readonly jobId: string
  /** Events after this position. */
  readonly after: number
  /** Events that are read, at most. */
  readonly limit: number
  /** Types of the events on the way to its end, which is read in any case. */
  readonly types: readonly string[]
}

/** A part of the stream. */
export interface StreamPage extends StreamEnds {
  readonly events: StreamEvent[]
  /** How far the stream has been read: where the next page begins, also when none of the events were wanted. */
  readonly through: number
  /** Timeline of Postgres: another one once a standby has taken over, which may lack the newest events, and give their positions to others. */
  readonly timeline: number
}

/** @returns the ends of the stream. */
export async function readStreamEnds(sql: Sql): Promise<StreamEnds> {
  const [row] = await sql<StreamEnds[]>`select head::float8, tail::float8 from stream`
  return row ?? { head: 0, tail: 0 }
}

/**
 * Reads the stream by position. It costs what it reads, however long the stream is and wherever it is read.
 *
 * @returns the events of up to `limit` positions in order; fewer where some are pruned or of another tenant.
 */
export async function readStream(sql: Sql, range: StreamRange): Promise<StreamPage> {
  const { after, limit, tenant, outputLimit = 0 } = range
  const last = after + limit
  const mine = (column: ReturnType<Sql>) => (tenant === undefined ? sql`true` : sql`${column} = ${tenant}`)
  const rows = await sql<PageRow[]>`
    with placed as materialized (
      ${endEvents(
        sql,
        sql`e.position > ${after}::float8::bigint and e.position <= coalesce(
          (select n.position from endings n where n.position >= ${last}::float8::bigint order by n.position limit 1), 9223372036854775807)
          and ${mine(sql`e.tenant`)}
          and e.position - e.events + member.place between ${after}::float8::bigint + 1 and ${last}::float8::bigint`,
      )}
      union all
      ${dataEvents(sql, sql`o.position > ${after}::float8::bigint and o.position <= ${last}::float8::bigint and ${mine(sql`o.tenant`)}`)}
    )
    ${selectPage(sql, sql`ends.tail`, outputLimit)}`
  const read = pageOf(rows)
  return { ...read, through: Math.max(Math.min(last, read.head), after) }
}

/** How long before its last moment the statement that ended a job may have begun, in milliseconds. */
const longestStatementMs = 60_000

/**
 * Reads the events of one job by position. It costs what it reads, however many the job has. One that has no place yet will get one
 * after the head.
 *
 * @returns its end and the events of some types, in order, without outputs. Nothing of a job is deleted before the job is: `tail` is 0
 *   while it is there, and the head once it is gone.
 */
export async function readJobEvents(sql: Sql, range: JobRange): Promise<StreamPage> {
  const { tenant, jobId, after, limit, types } = range
  const rows = await sql<PageRow[]>`
    with ended as materialized (
      select id, queue, status, finished_at from jobs where id = ${jobId} and tenant = ${tenant} and finished_at is not null
    ), ending as materialized (
      select e.ctid from endings e, ended
      where e.queue = ended.queue and e.status = ended.status and e.ended_at <= ended.finished_at
        and e.ended_at > ended.finished_at - ${longestStatementMs}::float8 * interval '1 millisecond'
        and ended.id = any(e.job_ids)
      order by e.ended_at desc limit 1
    ), placed as materialized (
      select * from (
        ${endEvents(
          sql,
          sql`e.ctid = any(array(select ctid from ending)) and member.id = ${jobId}
          and e.position - e.events + member.place > ${after}::float8::bigint`,
        )}
        union all
        select event.* from unnest(${[...new Set(types)]}::text[]) as wanted (type) cross join lateral (${dataEvents(
          sql,
          sql`o.job_id = ${jobId} and o.tenant = ${tenant} and o.type = wanted.type and o.position > ${after}::float8::bigint
          order by o.position limit ${limit}`,
        )}) as event
      ) as found order by position limit ${limit}
    )
    ${selectPage(sql, sql`case when exists (select from jobs where id = ${jobId} and tenant = ${tenant}) then 0 else ends.head end`)}`
  const read = pageOf(rows)
  const last = read.events.length < limit ? undefined : read.events.at(-1)
  return { ...read, through: last?.position ?? Math.max(read.head, after) }
}

/** Time by which the order of the stream may differ from that of the moments of its events, in milliseconds. */
const disorderMs = 60_000

/**
 * Finds where in the stream to begin so as to read every event from a moment on: up to a minute's events before it come along, since
 * who commits late has a later place. Bisects the stream.
 *
 * @returns the position after which to read.
 */
export async function positionAt(sql: Sql, since: Date): Promise<number> {
  const wanted = since.getTime() - disorderMs
  const { head } = await readStreamEnds(sql)
  let low = 0
  let high = head
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const next = await readMoment(sql, middle)
    if (!next || next.at >= wanted) high = middle
    else low = next.position
  }
  return low
}

/** @returns the first place from there on that an event, or a batch of them, ends at, and its moment in milliseconds since 1970. */
async function readMoment(sql: Sql, after: number): Promise<{ position: number; at: number } | undefined> {
  const [row] = await sql<{ position: number; at: number }[]>`
    select position::float8, (extract(epoch from at) * 1000)::float8 as at from (
      (select position, ended_at as at from endings where position > ${after}::float8::bigint order by position limit 1)
      union all
      (select position, occurred_at from outbox where position > ${after}::float8::bigint order by position limit 1)) as next
    order by position limit 1`
  return row
}

/** The events that end jobs, of endings `e` and their members. */
function endEvents(sql: Sql, which: ReturnType<Sql>) {
  return sql`
    select e.position - e.events + member.place as position, member.id, e.tenant, 'job.' || e.status as type, e.ended_at as occurred_at,
      null::int as sequence, member.id as job_id, null::json as data
    from endings e cross join lateral unnest(e.job_ids) with ordinality as member (id, place) where ${which}`
}

/** The events of rows `o` of their own. */
function dataEvents(sql: Sql, which: ReturnType<Sql>) {
  return sql`
    select o.position, o.id, o.tenant, o.type, o.occurred_at, o.sequence, o.job_id, o.data
    from outbox o where o.data is not null and ${which}`
}

/** Bytes that a character takes at most, and that Postgres adds to each value, in what `pg_column_size` says. */
const bytesPerCharacter = 4
const sizeHeader = 4

/** The ends of the stream and the events of the CTE `placed`, in order. */
function selectPage(sql: Sql, tail: ReturnType<Sql>, outputLimit = 0) {
  return sql`
    select ends.head::float8, (${tail})::float8 as tail, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int as timeline, told.*
    from stream as ends left join (${told(sql, outputLimit)}) as told on true
    order by told.position`
}

/** The events of the CTE `placed` with what they tell of their jobs. An output that takes more than it may is not even read. A limit keeps each look-up a look-up (db/live.ts). */
function told(sql: Sql, outputLimit: number) {
  return sql`
    select placed.position::float8, placed.id, placed.tenant, placed.type, coalesce(job.finished_at, placed.occurred_at) as occurred_at,
      placed.job_id, placed.data, coalesce(placed.sequence, job.told + 1,
        (select count(*)::int + 1 from outbox o where o.job_id = placed.job_id and o.data is not null)) as sequence,
      job.id as known_id, job.type as job_type, job.queue, job.status, job.tags, job.attempts_made, job.created_at, job.started_at,
      job.finished_at, job.error, job.output
    from placed left join lateral (
      select j.id, j.type, j.queue, j.status, j.tags, j.attempts_made, j.created_at, j.started_at, coalesce(j.told, 0) as told,
        case when j.error is not null then json_build_object('reason', j.error -> 'reason', 'message', j.error -> 'message') end as error,
        case when placed.data is null then j.finished_at end as finished_at,
        case when ${outputLimit}::int > 0 and placed.data is null then
          case when pg_column_size(j.output) <= ${outputLimit * bytesPerCharacter + sizeHeader}::int then
            case when length(j.output::text) <= ${outputLimit}::int then j.output::text end end end as output
      from jobs j where j.id = placed.job_id limit 1) as job on true`
}

type EventRow = Omit<StreamEvent, 'job'> &
  Omit<StreamJob, 'id' | 'type'> & {
    readonly knownId: string | null
    readonly jobType: string
  }

type PageRow = EventRow & StreamEnds & Pick<StreamPage, 'timeline'>

function pageOf(rows: readonly PageRow[]): Omit<StreamPage, 'through'> {
  const { head, tail, timeline } = rows[0] ?? { head: 0, tail: 0, timeline: 0 }
  return { events: rows.filter(isEvent).map(eventOf), head, tail, timeline }
}

/** An empty page has a row with the ends of the stream all the same. */
function isEvent(row: { readonly position: number | null }): boolean {
  return row.position !== null
}

function eventOf(row: EventRow): StreamEvent {
  const { position, id, tenant, type, occurredAt, sequence, jobId, data, knownId } = row
  const { jobType, queue, status, tags, attemptsMade, createdAt, startedAt, finishedAt, error, output } = row
  const job = knownId
    ? { id: knownId, type: jobType, queue, status, tags, attemptsMade, createdAt, startedAt, finishedAt, error, output }
    : null
  return { position, id, tenant, type, occurredAt, sequence, jobId, job, data }
}
