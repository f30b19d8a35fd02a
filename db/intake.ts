import type { Sql } from './connect.ts'
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
  readonly idempotency?: { readonly key: string; readonly requestHash: string } | undefined
}

/** What stands about a job the moment it was accepted. */
export interface Acceptance {
  readonly id: string
  readonly status: JobStatus
  readonly createdAt: Date
  readonly runAt: Date | null
}

/** What became of one new job; a replay answers what the first request with its key was answered. */
export type IntakeResult = ({ readonly kind: 'accepted' | 'replayed' } & Acceptance) | { readonly kind: 'key-reused' }

/**
 * Commits a batch of new jobs and their idempotency keys in one statement (two when a key was known already).
 *
 * @returns one result per job, in the order given.
 * @throws the driver's error; then nothing of the batch is stored, unless the connection broke, which leaves that unknown.
 */
export async function insertJobs(sql: Sql, batch: readonly NewJob[]): Promise<IntakeResult[]> {
  const accepted = new Map((await insert(sql, batch)).map((row) => [row.id, row]))
  const refused = batch.filter((job) => !accepted.has(job.id))
  const known = refused.length > 0 ? await readKeys(sql, refused) : new Map<string, KeyRow>()
  return batch.map((job) => {
    const row = accepted.get(job.id)
    return row ? { kind: 'accepted', ...row } : replay(job, known.get(keyOf(job.tenant, job.idempotency?.key)))
  })
}

function insert(sql: Sql, batch: readonly NewJob[]) {
  const column = <T>(pick: (job: NewJob) => T) => batch.map(pick)
  return sql<Acceptance[]>`
    with item as materialized (
      select *, coalesce(at, statement_timestamp() + delay_ms * interval '1 millisecond') as run_at from unnest(
        ${column((job) => job.id)}::uuid[], ${column((job) => job.tenant)}::text[], ${column((job) => job.type)}::text[],
        ${column((job) => job.queue)}::text[], ${column((job) => job.input)}::text[], ${column((job) => job.priority)}::smallint[],
        ${column((job) => job.runAt?.toISOString() ?? null)}::timestamptz[], ${column((job) => job.delayMs ?? null)}::float8[],
        ${column((job) => job.expiresAt?.toISOString() ?? null)}::timestamptz[], ${column((job) => job.maxAttempts)}::int[],
        ${column((job) => job.timeoutMs)}::int[], ${column((job) => JSON.stringify(job.tags))}::text[],
        ${column((job) => job.metadata)}::text[], ${column((job) => String(job.internal))}::text[],
        ${column((job) => job.redriveOf ?? null)}::uuid[], ${column((job) => job.idempotency?.key ?? null)}::text[],
        ${column((job) => job.idempotency?.requestHash ?? null)}::text[]
      ) as t (id, tenant, type, queue, input, priority, at, delay_ms, expires_at, max_attempts, timeout_ms, tags, metadata,
        internal, redrive_of, key, request_hash)
    ), keyed as (
      insert into idempotency_keys (tenant, key, request_hash, job_id, status, run_at, created_at)
      select distinct on (tenant, key) tenant, key, request_hash, id, ${initialStatus(sql)}, run_at, statement_timestamp()
      from item where key is not null order by tenant, key, id
      on conflict (tenant, key) do nothing
      returning job_id
    )
    insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, run_at, expires_at, max_attempts,
      timeout_ms, ticketed_at, redrive_of, created_at)
    select id, tenant, type, queue, ${initialStatus(sql)}, priority, input::json, metadata::json,
      case when tags = '[]' then '{}' else array(select json_array_elements_text(tags::json)) end,
      internal::boolean, run_at, expires_at, max_attempts, timeout_ms,
      case when run_at > statement_timestamp() then null else statement_timestamp() end, redrive_of, statement_timestamp()
    from item where key is null or id in (select job_id from keyed) order by id
    returning id, status, created_at, run_at`
}

function initialStatus(sql: Sql) {
  return sql`case when run_at > statement_timestamp() then 'scheduled' else 'queued' end`
}

interface KeyRow extends Acceptance {
  readonly tenant: string
  readonly key: string
  readonly requestHash: string
}

async function readKeys(sql: Sql, jobs: readonly NewJob[]): Promise<Map<string, KeyRow>> {
  const rows = await sql<KeyRow[]>`
    select k.tenant, k.key, k.request_hash, k.job_id as id, k.status, k.created_at, k.run_at
    from unnest(${jobs.map((job) => job.tenant)}::text[], ${jobs.map((job) => job.idempotency?.key ?? null)}::text[]) as wanted (tenant, key)
    join idempotency_keys k using (tenant, key)`
  return new Map(rows.map((row) => [keyOf(row.tenant, row.key), row]))
}

function keyOf(tenant: string, key: string | undefined): string {
  return `${tenant} ${key}`
}

function replay(job: NewJob, row: KeyRow | undefined): IntakeResult {
  if (!row) throw new Error(`Job ${job.id} was neither stored nor refused for its idempotency key`)
  if (row.requestHash !== job.idempotency?.requestHash) return { kind: 'key-reused' }
  return { kind: 'replayed', id: row.id, status: row.status, createdAt: row.createdAt, runAt: row.runAt }
}
