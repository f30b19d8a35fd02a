import { plainArray, textArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import type { Acceptance } from './intake.ts'
import { endIfIdle } from './lock-runs.ts'

/** A deduplication key of a type: unfinished jobs that share one are one. */
export interface TypedKey {
  readonly tenant: string
  readonly type: string
  readonly key: string
}

/** @returns a name by which keys can be compared. */
export function nameOf({ tenant, type, key }: TypedKey): string {
  return JSON.stringify([tenant, type, key])
}

/** Time without a statement after which such a transaction is ended, in milliseconds: others wait for its locks. */
const idleMs = 5_000

/**
 * Begins a transaction that decides about keys: makes each of them its own until it ends, so that what it then reads of them in another
 * statement is true until then. Keys are locked in the same order by everybody.
 *
 * @param sql of an open transaction; its statements find their rows by index from then on.
 */
export async function lockKeys(sql: Sql, keys: readonly TypedKey[]): Promise<void> {
  await endIfIdle(
    sql,
    idleMs,
    async () =>
      sql`select set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`,
  )
  if (keys.length === 0) return
  await sql`
    select pg_advisory_xact_lock(number) from (
      select distinct hashtextextended(name, 0) as number from unnest(${textArray(keys.map(nameOf))}::text::text[]) as name order by 1
    ) as sorted`
}

/**
 * Finds the unfinished jobs that hold keys. To be sent after {@link lockKeys} was answered.
 *
 * @returns them by the {@link nameOf} their keys.
 */
export async function findHolders(sql: Sql, keys: readonly TypedKey[]): Promise<Map<string, Acceptance>> {
  if (keys.length === 0) return new Map()
  const rows = await sql<(Acceptance & TypedKey)[]>`
    select wanted.tenant, wanted.type, wanted.key, j.id, j.status, j.created_at, j.run_at from unnest(
      ${columnOf(keys, ({ tenant }) => tenant)}::text::text[], ${columnOf(keys, ({ type }) => type)}::text::text[],
      ${columnOf(keys, ({ key }) => key)}::text::text[]) as wanted (tenant, type, key)
    cross join lateral (
      select job_id from deduplications d where d.tenant = wanted.tenant and d.type = wanted.type and d.key = wanted.key limit 1
    ) as holder cross join lateral (
      select id, status, created_at, run_at from jobs where id = holder.job_id and finished_at is null limit 1
    ) as j`
  return new Map(rows.map((row) => [nameOf(row), row]))
}

/** Gives keys to new jobs, in the transaction that has locked them. */
export async function holdKeys(sql: Sql, holders: readonly (TypedKey & { readonly id: string })[]): Promise<void> {
  if (holders.length === 0) return
  const sorted = holders.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  await sql`
    insert into deduplications (tenant, type, key, job_id)
    select tenant, type, key, job_id from unnest(${columnOf(sorted, ({ tenant }) => tenant)}::text::text[], ${columnOf(sorted, ({ type }) => type)}::text::text[],
      ${columnOf(sorted, ({ key }) => key)}::text::text[], ${plainArray(sorted.map(({ id }) => id))}::text::uuid[]) as holder (tenant, type, key, job_id)
    on conflict (tenant, type, key) do update set job_id = excluded.job_id`
}

function columnOf(keys: readonly TypedKey[], pick: (key: TypedKey) => string): string {
  return textArray(keys.map(pick))
}
