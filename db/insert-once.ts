import { plainArray, textArray } from './arrays.ts'
import type { Database, Sql } from './connect.ts'
import { findHolders, holdKeys, lockKeys, nameOf, type TypedKey } from './deduplicate.ts'
import { deduplicatedMark, insert, readReplays, type Acceptance, type IntakeResult, type NewJob } from './intake.ts'

/**
 * Commits a batch of new jobs that have deduplication keys, in one transaction: one whose key is held by an unfinished job is not
 * stored, and answered by that one. So are later ones of the batch that share a key.
 *
 * @param signal gives the transaction up before its commit.
 * @returns one result per job, in the order given.
 * @throws the driver's error, ConnectionLostError or CommitUnknownError; nothing of the batch is stored then, unless the last says that
 *   this is unknown.
 */
export async function insertOnce(
  { sql, transactions }: Pick<Database, 'sql' | 'transactions'>,
  batch: readonly NewJob[],
  signal?: AbortSignal,
): Promise<IntakeResult[]> {
  const decided = await transactions.run((tx) => decide(tx, batch), signal)
  const replayOf = await readReplays(
    sql,
    batch.filter(({ id }) => !decided.has(id)),
  )
  return batch.map((job) => decided.get(job.id) ?? replayOf(job))
}

type Decision = { readonly kind: 'accepted' | 'deduplicated' } & Acceptance

/** @returns what became of each job by its id; those are missing whose idempotency keys are known already. */
async function decide(sql: Sql, batch: readonly NewJob[]): Promise<Map<string, Decision>> {
  const keys = batch.map(typedKey)
  await lockKeys(sql, keys)
  const entered = await enterIdempotencyKeys(sql, batch)
  const fresh = batch.filter(({ id, idempotency }) => !idempotency || entered.has(id))
  const holders = await findHolders(sql, keys)
  const makers = new Map<string, NewJob>()
  for (const job of fresh) {
    const name = nameOf(typedKey(job))
    if (!holders.has(name) && !makers.has(name)) makers.set(name, job)
  }
  const made = await insert(
    sql,
    [...makers.values()].map((job) => ({ ...job, idempotency: undefined })),
  )
  await holdKeys(
    sql,
    [...makers.values()].map((job) => ({ ...typedKey(job), id: job.id })),
  )
  const rows = new Map(made.map((row) => [row.id, row]))
  for (const [name, { id }] of makers) {
    const row = rows.get(id)
    if (row) holders.set(name, row)
  }
  const decided = new Map<string, Decision>()
  for (const job of fresh) {
    const holder = holders.get(nameOf(typedKey(job)))
    if (!holder) throw new Error(`Postgres has not answered for job ${job.id}`)
    const { id, status, createdAt, runAt } = holder
    decided.set(job.id, { kind: rows.has(job.id) ? 'accepted' : 'deduplicated', id, status, createdAt, runAt })
  }
  await keepAnswers(sql, fresh, decided)
  return decided
}

function typedKey({ tenant, type, deduplicationKey = '' }: NewJob): TypedKey {
  return { tenant, type, key: deduplicationKey }
}

/** Enters the idempotency keys that are new; their answers follow. @returns the ids of the jobs whose keys were entered. */
export async function enterIdempotencyKeys(
  sql: Sql,
  batch: readonly Pick<NewJob, 'id' | 'tenant' | 'idempotency'>[],
): Promise<Set<string>> {
  const keyed = batch.filter(({ idempotency }) => idempotency)
  if (keyed.length === 0) return new Set()
  const column = (pick: (job: (typeof keyed)[number]) => string | undefined) =>
    textArray(keyed.map((job) => pick(job) ?? null))
  const rows = await sql<{ jobId: string }[]>`
    insert into idempotency_keys (tenant, key, request_hash, job_id, status, created_at)
    select distinct on (tenant, key) tenant, key, request_hash, job_id, 'queued', statement_timestamp()
    from unnest(${column(({ tenant }) => tenant)}::text::text[], ${column(({ idempotency }) => idempotency?.key)}::text::text[],
      ${column(({ idempotency }) => idempotency?.requestHash)}::text::text[], ${plainArray(keyed.map(({ id }) => id))}::text::uuid[]
    ) with ordinality as item (tenant, key, request_hash, job_id, number) order by tenant, key, number
    on conflict (tenant, key) do nothing
    returning job_id`
  return new Set(rows.map(({ jobId }) => jobId))
}

/** Completes what was entered for these jobs with what they are answered. Of a job that there was, the key's age counts from now. */
export async function keepAnswers(
  sql: Sql,
  jobs: readonly Pick<NewJob, 'id' | 'tenant' | 'idempotency'>[],
  answers: ReadonlyMap<string, { readonly kind: string } & Acceptance>,
): Promise<void> {
  const items = jobs.flatMap(({ id, tenant, idempotency }) => {
    const answer = answers.get(id)
    return idempotency && answer ? [{ tenant, ...idempotency, answer }] : []
  })
  if (items.length === 0) return
  const plain = (pick: (item: (typeof items)[number]) => string | undefined) =>
    plainArray(items.map((item) => pick(item) ?? null))
  const text = (pick: (item: (typeof items)[number]) => string) => textArray(items.map(pick))
  await sql`
    update idempotency_keys k set job_id = item.job_id, status = item.status, run_at = item.run_at,
      request_hash = case when item.is_new then k.request_hash else ${deduplicatedMark}::text || k.request_hash end,
      created_at = case when item.is_new then item.created_at else k.created_at end
    from (select * from unnest(${text(({ tenant }) => tenant)}::text::text[], ${text(({ key }) => key)}::text::text[],
      ${plain(({ answer }) => answer.id)}::text::uuid[], ${plain(({ answer }) => answer.status)}::text::text[],
      ${plain(({ answer }) => answer.createdAt.toISOString())}::text::timestamptz[],
      ${plain(({ answer }) => answer.runAt?.toISOString())}::text::timestamptz[],
      ${plain(({ answer }) => String(answer.kind === 'accepted'))}::text::boolean[]
    ) as answered (tenant, key, job_id, status, created_at, run_at, is_new) limit ${items.length}) as item
    where k.tenant = item.tenant and k.key = item.key`
}
