import type { Sql } from './connect.ts'
import { firstIdAt } from './ids.ts'
import { summaryColumns, type JobSummary } from './jobs.ts'
import { metadataWord, statusWord, tagWord } from './search-words.ts'
import type { JobStatus } from './statuses.ts'

/** What a listing may be narrowed to; all of it must fit. */
export interface JobFilter {
  /** Internal types are left out unless this names theirs. */
  readonly type?: string | undefined
  readonly status?: JobStatus | undefined
  readonly queue?: string | undefined
  readonly tag?: string | undefined
  /** Values of fields at the top of the metadata; numbers and booleans are meant by their JSON text. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly createdAfter?: Date | undefined
  readonly createdBefore?: Date | undefined
  readonly finishedAfter?: Date | undefined
  readonly finishedBefore?: Date | undefined
  /** Of the job's error. */
  readonly reason?: string | undefined
  /** Only jobs that nobody has redriven, no internal ones. */
  readonly isLeft?: boolean
  /** Only jobs older than this one: where the page before ended. */
  readonly before?: string | undefined
}

/** A part of a listing. */
export interface JobPage {
  readonly jobs: JobSummary[]
  /** What the next page is `before`; undefined at the end. */
  readonly next?: string | undefined
}

/** Jobs that a page looks at: where few of them fit, it ends before it is full. */
export const lookAt = 10_000
/** Time by which the clock that an id was made by may differ from that of Postgres, in milliseconds. */
const idSkewMs = 86_400_000
const highestId = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

type Fragment = ReturnType<typeof summaryColumns>
type Listed<Row> = Row & { readonly id: string | null; readonly lastSeen: string | null }

/**
 * Reads a page of a tenant's jobs, newest first, in bounded time: it walks one list, that of the jobs with a word or of a type, or the
 * lists of all types as one, and looks at so many at most. A page on which few or none fit may have others after it.
 *
 * @param sql the pool of listings: with other plans a list might be read whole.
 * @param limit rows at most.
 * @throws the driver's error.
 */
export async function listJobs(
  sql: Sql,
  tenant: string,
  filter: JobFilter,
  limit: number,
  look = lookAt,
): Promise<JobPage> {
  const { rows, next } = await readPage<JobSummary>(sql, { tenant, filter, limit, look }, sql`page.*`)
  return { jobs: rows, next }
}

/** As {@link listJobs}, but only the ids. */
export async function listJobIds(
  sql: Sql,
  tenant: string,
  filter: JobFilter,
  limit: number,
): Promise<{ readonly ids: string[]; readonly next?: string | undefined }> {
  const { rows, next } = await readPage<{ id: string }>(sql, { tenant, filter, limit, look: lookAt }, sql`page.id`)
  return { ids: rows.map(({ id }) => id), next }
}

interface Wanted {
  readonly tenant: string
  readonly filter: JobFilter
  readonly limit: number
  readonly look: number
}

async function readPage<Row extends { readonly id: string }>(
  sql: Sql,
  { tenant, filter, limit, look }: Wanted,
  columns: Fragment,
): Promise<{ rows: Row[]; next: string | undefined }> {
  const words = wordsOf(filter)
  const list = words[0]
    ? listOfWord(sql, tenant, filter, words[0])
    : listOfTypes(sql, tenant, filter, filter.type === undefined ? await typesOf(sql, tenant) : [filter.type])
  if (!list) return { rows: [], next: undefined }
  const { walked, order } = list
  const listed = await sql<Listed<Row>[]>`
    with page as materialized (
      select j.* from (${walked} limit ${look}::int) as seen cross join lateral (
        select ${summaryColumns(sql)}, redriven_as is not null as is_redriven from jobs
        where jobs.id = seen.id and tenant = ${tenant} limit 1
      ) as j
      where ${conditions(sql, tenant, filter, words.slice(1))} order by ${order} limit ${limit + 1}::int
    )
    select ${columns}, case when (select count(*) from page) <= ${limit}::int then
      (select seen.id from (${walked} offset ${look - 1}::int limit 1) as seen) end as last_seen
    from (select) as one left join page on true order by page.id desc`
  const found = listed.filter(({ id }) => id !== null)
  const rows = found.slice(0, limit)
  return { rows, next: found.length > limit ? rows.at(-1)?.id : (listed[0]?.lastSeen ?? undefined) }
}

/** The words that jobs must have, the rarest first as a rule. */
function wordsOf({ metadata = {}, tag, status }: JobFilter): string[] {
  return [
    ...Object.entries(metadata).map(([field, value]) => metadataWord(field, value)),
    ...(tag === undefined ? [] : [tagWord(tag)]),
    ...(status === 'failed' || status === 'cancelled' ? [statusWord(status)] : []),
  ]
}

/** How the jobs `seen` of a list within the filter's range are read, newest first, and what their order is. */
interface List {
  readonly walked: Fragment
  readonly order: Fragment
}

/**
 * What the list is of is said by comparing rows, and its order by all columns: so only the index of these columns fits, whatever
 * Postgres believes about the table.
 */
function listOfWord(sql: Sql, tenant: string, filter: JobFilter, word: string): List {
  const { after, until } = rangeOf(filter)
  return {
    walked: sql`select tenant, word, job_id as id from search_words
      where (tenant, word, job_id) < (${tenant}, ${word}, ${until}::uuid) and (tenant, word, job_id) >= (${tenant}, ${word}, ${after}::uuid)
      order by tenant desc, word desc, job_id desc`,
    order: sql`seen.tenant desc, seen.word desc, seen.id desc`,
  }
}

/**
 * Only `jobs_by_type` has this order of ids. Several types are merged while they are read, each as far as it is needed: for that
 * each must be in order by itself.
 *
 * @returns undefined where there is no type.
 */
function listOfTypes(sql: Sql, tenant: string, filter: JobFilter, types: readonly string[]): List | undefined {
  const { after, until } = rangeOf(filter)
  const [first, ...others] = types.map(
    (type) =>
      sql`(select id from jobs where tenant = ${tenant} and type = ${type} and id < ${until}::uuid and id >= ${after}::uuid order by id desc nulls last)`,
  )
  if (!first) return undefined
  const all = others.reduce((left, right) => sql`${left} union all ${right}`, first)
  return {
    walked: sql`select id from (${all}) as lists order by id desc nulls last`,
    order: sql`seen.id desc nulls last`,
  }
}

/** @returns the types of which the tenant has jobs; one look into the index for each, where its newest job is: the oldest ones are deleted. */
async function typesOf(sql: Sql, tenant: string): Promise<string[]> {
  const rows = await sql<{ type: string }[]>`
    with recursive each as (
      (select type from jobs where tenant = ${tenant} order by type desc limit 1)
      union all
      select (select type from jobs where tenant = ${tenant} and type < each.type order by type desc limit 1) from each where each.type is not null
    )
    select type from each where type is not null`
  return rows.map(({ type }) => type)
}

/** @returns the ids between which the filter's jobs are, the upper one left out. */
function rangeOf({ createdAfter, createdBefore, before = highestId }: JobFilter): { after: string; until: string } {
  const after = firstIdAt((createdAfter?.getTime() ?? 0) - idSkewMs)
  const latest = createdBefore === undefined ? highestId : firstIdAt(createdBefore.getTime() + idSkewMs)
  return { after, until: before < latest ? before : latest }
}

/** Conditions on jobs `j` that are met on the way. One that is asked by `exists` could be answered by reading all jobs with a word. */
function conditions(sql: Sql, tenant: string, filter: JobFilter, words: readonly string[]): Fragment {
  const { type, status, queue, reason, createdAfter, createdBefore, finishedAfter, finishedBefore, isLeft } = filter
  const all: (Fragment | undefined)[] = [
    type === undefined ? sql`not j.internal` : sql`j.type = ${type}`,
    status && sql`j.status = ${status}`,
    queue === undefined ? undefined : sql`j.queue = ${queue}`,
    reason === undefined ? undefined : sql`${reasonOf(sql)} = ${reason}`,
    createdAfter && sql`j.created_at >= ${createdAfter}`,
    createdBefore && sql`j.created_at < ${createdBefore}`,
    finishedAfter && sql`j.finished_at >= ${finishedAfter}`,
    finishedBefore && sql`j.finished_at < ${finishedBefore}`,
    isLeft ? sql`not j.is_redriven and not j.internal` : undefined,
    ...words.map(
      (word) =>
        sql`(select true from search_words w where w.tenant = ${tenant} and w.word = ${word} and w.job_id = j.id limit 1)`,
    ),
  ]
  return all.filter((each) => each !== undefined).reduce((left, right) => sql`${left} and ${right}`)
}

/** Postgres cannot read JSON in which NUL or half a character is escaped. */
function reasonOf(sql: Sql): Fragment {
  return sql`case when j.error::text !~* '\\\\u(0000|d[89a-f])' then j.error->>'reason' end`
}
