import { plainArray, textArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { newArrivals } from './live.ts'
import { newWords } from './search-words.ts'
import type { JobStatus } from './statuses.ts'

/** A validated request, ready to become a row. */
export interface NewJob {
  readonly id: string
  readonly tenant: string
  readonly type: string
  readonly queue: string
  /** JSON text. */
  readonly input: string
  readonly priority: number
  readonly runAt?: Date | undefined
  /** Alternative to runAt: milliseconds from now, by the clock of Postgres. */
  readonly delayMs?: number | undefined
  readonly expiresAt?: Date | undefined
  readonly maxAttempts: number
  readonly timeoutMs: number
  readonly tags: readonly string[]
  /** JSON text. */
  readonly metadata: string
  readonly internal: boolean
  readonly redriveOf?: string | undefined
  /** Unfinished jobs of the tenant and type that share it are one, where {@link insertOnce} stores them. */
  readonly deduplicationKey?: string | undefined
  readonly idempotency?: { readonly key: string; readonly requestHash: string } | undefined
}

/** What stands about a job the moment it was accepted. */
export interface Acceptance {
  readonly id: string
  readonly status: JobStatus
  readonly createdAt: Date
  readonly runAt: Date | null
}

/**
 * What became of one new job; a replay answers what the first request with its key was answered. A key is `expired` if it was
 * pruned while it was looked up: nothing is stored, and the same request would be accepted now. It is `unread` if its look-up
 * failed. `deduplicated` tells the unfinished job that has the deduplication key, and `deduplicated-before` is a replay of that.
 */
export type IntakeResult =
  | ({ readonly kind: 'accepted' | 'replayed' | 'deduplicated' | 'deduplicated-before' } & Acceptance)
  | RefusedKey
export type RefusedKey =
  | { readonly kind: 'key-reused' | 'key-expired' }
  | { readonly kind: 'key-unread'; readonly error: Error }

/**
 * Commits a batch of new jobs and their idempotency keys in one statement (two when a key was known already).
 *
 * @returns one result per job, in the order given.
 * @throws the driver's error; then nothing of the batch is stored, unless the connection broke, which leaves that unknown.
 */
export async function insertJobs(sql: Sql, batch: readonly NewJob[]): Promise<IntakeResult[]> {
  const accepted = new Map((await insert(sql, batch)).map((row) => [row.id, row]))
  const refused = batch.filter((job) => !accepted.has(job.id))
  const replayOf = await readReplays(sql, refused)
  return batch.map((job) => {
    const row = accepted.get(job.id)
    return row ? { kind: 'accepted', ...row } : replayOf(job)
  })
}

type Keyed = Pick<NewJob, 'id' | 'tenant' | 'idempotency'>

/**
 * Reads what the first requests with the idempotency keys of these were answered. What was stored beside them is committed, so a
 * failure is one of these only.
 */
export async function readReplays(sql: Sql, jobs: readonly Keyed[]): Promise<(job: Keyed) => IntakeResult> {
  try {
    const known = jobs.length > 0 ? await readKeys(sql, jobs) : new Map<string, KeyRow>()
    return (job) => replay(job, known.get(keyOf(job.tenant, job.idempotency?.key)))
  } catch (error) {
    return () => ({ kind: 'key-unread', error: error as Error })
  }
}

/**
 * The statement of {@link insertJobs}.
 *
 * @returns the jobs that were stored, in any order; those are missing whose idempotency keys are known.
 */
export async function insert(sql: Sql, batch: readonly NewJob[]): Promise<Acceptance[]> {
  if (batch.length === 0) return []
  const jobs = batch.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const { numbers, distinct } = numberTerms(jobs)
  const job = columnsOf(jobs)
  const haveWords = jobs.some(({ tags, metadata }) => tags.length > 0 || metadata !== '{}')
  const terms = columnsOf(distinct)
  return sql<Acceptance[]>`
    with item as materialized (
      select t.*, j.id, j.input, j.key, j.request_hash,
        coalesce(at, statement_timestamp() + delay_ms * interval '1 millisecond') as run_at
      from unnest(
        ${job.plain(({ id }) => id)}::text::uuid[], ${plainArray(numbers)}::text::int[], ${job.text(({ input }) => input)}::text::json[],
        ${job.text(({ idempotency }) => idempotency?.key)}::text::text[], ${job.text(({ idempotency }) => idempotency?.requestHash)}::text::text[]
      ) as j (id, terms, input, key, request_hash)
      join unnest(
        ${terms.text(({ tenant }) => tenant)}::text::text[], ${terms.text(({ type }) => type)}::text::text[],
        ${terms.text(({ queue }) => queue)}::text::text[], ${terms.plain(({ priority }) => priority)}::text::smallint[],
        ${terms.plain(({ runAt }) => runAt?.toISOString())}::text::timestamptz[], ${terms.plain(({ delayMs }) => delayMs)}::text::float8[],
        ${terms.plain(({ expiresAt }) => expiresAt?.toISOString())}::text::timestamptz[],
        ${terms.plain(({ maxAttempts }) => maxAttempts)}::text::int[], ${terms.plain(({ timeoutMs }) => timeoutMs)}::text::int[],
        ${terms.text(({ tags }) => textArray(tags))}::text::text[], ${terms.text(({ metadata }) => metadata)}::text::json[],
        ${terms.plain(({ internal }) => String(internal))}::text::boolean[], ${terms.plain(({ redriveOf }) => redriveOf)}::text::uuid[],
        ${terms.text(({ deduplicationKey }) => deduplicationKey)}::text::text[]
      ) with ordinality as t (tenant, type, queue, priority, at, delay_ms, expires_at, max_attempts, timeout_ms, tags, metadata,
        internal, redrive_of, deduplication_key, number) on t.number = j.terms
    ), keyed as (
      insert into idempotency_keys (tenant, key, request_hash, job_id, status, run_at, created_at)
      select distinct on (tenant, key) tenant, key, request_hash, id, ${initialStatus(sql)}, run_at, statement_timestamp()
      from item where key is not null order by tenant, key, id
      on conflict (tenant, key) do nothing
      returning job_id
    ), changed as (
      insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, run_at, due_at, expires_at,
        max_attempts, timeout_ms, ticketed_at, redrive_of, deduplication_key, created_at)
      select id, tenant, type, queue, ${initialStatus(sql)}, priority, input, metadata, tags::text[], internal, run_at,
        case when run_at > statement_timestamp() then run_at end, expires_at, max_attempts, timeout_ms,
        case when run_at > statement_timestamp() then null else statement_timestamp() end, redrive_of, deduplication_key,
        statement_timestamp()
      from item where key is null or id in (select job_id from keyed)
      returning id, queue, status, priority, crashes, ticketed_at, created_at, run_at${haveWords ? sql`, tenant, tags, metadata` : sql``}
    ), ${newArrivals(sql)}${haveWords ? sql`, ${newWords(sql)}` : sql``}
    select id, status, created_at, run_at from changed`
}

/** Writes one array for each column; one without values is empty, which `unnest` fills with nulls. */
function columnsOf(jobs: readonly NewJob[]) {
  const column = (write: typeof textArray, values: (string | null)[]) =>
    values.every((value) => value === null) ? '{}' : write(values)
  return {
    plain: (pick: (job: NewJob) => string | number | undefined) =>
      column(
        plainArray,
        jobs.map((job) => pick(job)?.toString() ?? null),
      ),
    text: (pick: (job: NewJob) => string | undefined) =>
      column(
        textArray,
        jobs.map((job) => pick(job) ?? null),
      ),
  }
}

type Terms = Omit<NewJob, 'id' | 'input' | 'idempotency'>

/** Every field of the terms but the tags, which are compared one by one. */
const termNames = Object.keys({
  tenant: true,
  type: true,
  queue: true,
  priority: true,
  runAt: true,
  delayMs: true,
  expiresAt: true,
  maxAttempts: true,
  timeoutMs: true,
  metadata: true,
  internal: true,
  redriveOf: true,
  deduplicationKey: true,
} satisfies Record<Exclude<keyof Terms, 'tags'>, true>) as Exclude<keyof Terms, 'tags'>[]

/** Numbers, from 1, the terms on which each job is to run: jobs that follow each other mostly share them, and they are sent once. */
function numberTerms(jobs: readonly NewJob[]): { numbers: number[]; distinct: NewJob[] } {
  const distinct: NewJob[] = []
  const numbers = jobs.map((job) => {
    const last = distinct.at(-1)
    return last && sameTerms(job, last) ? distinct.length : distinct.push(job)
  })
  return { numbers, distinct }
}

function sameTerms(one: NewJob, other: NewJob): boolean {
  return (
    termNames.every((name) => one[name] === other[name]) &&
    one.tags.length === other.tags.length &&
    one.tags.every((tag, at) => tag === other.tags[at])
  )
}

function initialStatus(sql: Sql) {
  return sql`case when run_at > statement_timestamp() then 'scheduled' else 'queued' end`
}

interface KeyRow extends Acceptance {
  readonly tenant: string
  readonly key: string
  readonly requestHash: string
}

async function readKeys(sql: Sql, jobs: readonly Keyed[]): Promise<Map<string, KeyRow>> {
  const rows = await sql<KeyRow[]>`
    select k.tenant, k.key, k.request_hash, k.job_id as id, k.status, k.created_at, k.run_at
    from unnest(${jobs.map((job) => job.tenant)}::text[], ${jobs.map((job) => job.idempotency?.key ?? null)}::text[]) as wanted (tenant, key)
    join idempotency_keys k using (tenant, key)`
  return new Map(rows.map((row) => [keyOf(row.tenant, row.key), row]))
}

/** Begins the request hash of an idempotency key whose first request was answered with a job that there was. */
export const deduplicatedMark = 'deduplicated:'

function keyOf(tenant: string, key: string | undefined): string {
  return `${tenant} ${key}`
}

function replay(job: Keyed, row: KeyRow | undefined): IntakeResult {
  if (!row) return { kind: 'key-expired' }
  const answer = { id: row.id, status: row.status, createdAt: row.createdAt, runAt: row.runAt }
  switch (row.requestHash) {
    case job.idempotency?.requestHash:
      return { kind: 'replayed', ...answer }
    case `${deduplicatedMark}${job.idempotency?.requestHash}`:
      return { kind: 'deduplicated-before', ...answer }
    default:
      return { kind: 'key-reused' }
  }
}
