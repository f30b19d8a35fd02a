import { plainArray } from './arrays.ts'
import type { Database, Sql } from './connect.ts'
import { findHolders, holdKeys, lockKeys, nameOf, type TypedKey } from './deduplicate.ts'
import { enterIdempotencyKeys, keepAnswers } from './insert-once.ts'
import { readReplays, type Acceptance, type IntakeResult, type NewJob } from './intake.ts'
import { newArrivals } from './live.ts'
import { ticketable, type Ticketable } from './requeue.ts'
import { newWords } from './search-words.ts'

/** A job that is to be made again, and the id of the new one. */
export interface Redrive {
  readonly of: string
  readonly id: string
}

/**
 * What became of a redrive: a new job; nothing, since another job with the deduplication key is `unfinished`; or nothing, since
 * there is no such job, or it has not failed, or (where that counts) it was redriven before, or just then is, or is deleted.
 */
export type Redriven =
  | { readonly kind: 'made'; readonly of: string; readonly job: Ticketable & Acceptance }
  | { readonly kind: 'held'; readonly of: string; readonly unfinished: string }
  | { readonly kind: 'left'; readonly of: string }

/**
 * Makes failed and cancelled jobs of a tenant again, those that nobody has redriven yet, in one transaction. Whoever does so at the
 * same time, or repeats it, makes none of them twice.
 *
 * @returns what became of each, in the order given; the jobs that were made now want a ticket.
 * @throws the driver's error, ConnectionLostError or CommitUnknownError.
 */
export function redriveLeft(
  transactions: Database['transactions'],
  tenant: string,
  wanted: readonly Redrive[],
  signal?: AbortSignal,
): Promise<Redriven[]> {
  return transactions.run(async (sql) => {
    const keys = await lockKeysOf(sql, tenant, wanted)
    return redrive(sql, tenant, wanted, { keys, onlyLeft: true })
  }, signal)
}

/**
 * Makes one failed or cancelled job again, however often that was done; once for each idempotency key.
 *
 * @returns what became of it, or what became of the first request with the key.
 * @throws as {@link redriveLeft}.
 */
export async function redriveOne(
  { sql, transactions }: Pick<Database, 'sql' | 'transactions'>,
  tenant: string,
  wanted: Redrive,
  idempotency?: NewJob['idempotency'],
  signal?: AbortSignal,
): Promise<Redriven | Exclude<IntakeResult, { kind: 'accepted' }>> {
  const request = { id: wanted.id, tenant, idempotency }
  const redriven = await transactions.run(async (tx) => {
    const keys = await lockKeysOf(tx, tenant, [wanted])
    if (idempotency && !(await enterIdempotencyKeys(tx, [request])).has(wanted.id)) return undefined
    const [result] = await redrive(tx, tenant, [wanted], { keys, onlyLeft: false })
    if (result?.kind === 'made')
      await keepAnswers(tx, [request], new Map([[wanted.id, { ...result.job, kind: 'accepted' }]]))
    else if (idempotency) await tx`delete from idempotency_keys where tenant = ${tenant} and key = ${idempotency.key}`
    return result
  }, signal)
  if (redriven) return redriven
  const replayOf = await readReplays(sql, [request])
  return replayOf(request)
}

/** @returns the deduplication keys of the jobs that have one, by the ids of these. They are the transaction's own from then on. */
async function lockKeysOf(sql: Sql, tenant: string, wanted: readonly Redrive[]): Promise<Map<string, TypedKey>> {
  const keyed = await sql<(TypedKey & { id: string })[]>`
    select id, tenant, type, deduplication_key as key from jobs
    where id = any(${idsOf(wanted)}::text::uuid[]) and tenant = ${tenant} and deduplication_key is not null`
  await lockKeys(sql, keyed)
  return new Map(keyed.map((row) => [row.id, row]))
}

function idsOf(wanted: readonly Redrive[]): string {
  return plainArray(wanted.map(({ of }) => of).toSorted())
}

async function redrive(
  sql: Sql,
  tenant: string,
  wanted: readonly Redrive[],
  { keys, onlyLeft }: { readonly keys: ReadonlyMap<string, TypedKey>; readonly onlyLeft: boolean },
): Promise<Redriven[]> {
  const locked = await sql<{ id: string }[]>`
    select id from jobs where id = any(${idsOf(wanted)}::text::uuid[]) and tenant = ${tenant} and status in ('failed', 'cancelled')
      and ${onlyLeft ? sql`redriven_as is null` : sql`true`}
    order by id for update ${onlyLeft ? sql`skip locked` : sql``}`
  const open = new Set(locked.map(({ id }) => id))
  const holders = new Map([...(await findHolders(sql, [...keys.values()]))].map(([name, { id }]) => [name, id]))
  const chosen: Redrive[] = []
  const held = new Map<string, string>()
  for (const each of wanted.filter(({ of }) => open.has(of))) {
    const key = keys.get(each.of)
    const unfinished = key && holders.get(nameOf(key))
    if (unfinished !== undefined) held.set(each.of, unfinished)
    else {
      chosen.push(each)
      if (key) holders.set(nameOf(key), each.id)
    }
  }
  const made = new Map((await copyJobs(sql, chosen)).map((job) => [job.id, job]))
  await holdKeys(
    sql,
    chosen.flatMap(({ of, id }) => {
      const key = keys.get(of)
      return key ? [{ ...key, id }] : []
    }),
  )
  return wanted.map(({ of, id }): Redriven => {
    const [job, unfinished] = [made.get(id), held.get(of)]
    if (job) return { kind: 'made', of, job }
    return unfinished === undefined ? { kind: 'left', of } : { kind: 'held', of, unfinished }
  })
}

/** Copies jobs that the transaction has locked, and marks them. @returns the new ones. */
export async function copyJobs(sql: Sql, chosen: readonly Redrive[]): Promise<(Ticketable & Acceptance)[]> {
  if (chosen.length === 0) return []
  const pairs = sql`select * from unnest(${plainArray(chosen.map(({ of }) => of))}::text::uuid[], ${plainArray(chosen.map(({ id }) => id))}::text::uuid[])
      as pair (old_id, new_id) limit ${chosen.length}`
  return sql<(Ticketable & Acceptance)[]>`
    with marked as (
      update jobs j set redriven_as = pair.new_id from (${pairs}) as pair where j.id = pair.old_id
    ), changed as (
      insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, ticketed_at,
        redrive_of, deduplication_key, created_at)
      select pair.new_id, tenant, type, queue, 'queued', priority, input, metadata, tags, internal, max_attempts, timeout_ms,
        statement_timestamp(), id, deduplication_key, statement_timestamp()
      from (${pairs}) as pair cross join lateral (select * from jobs where id = pair.old_id limit 1) as old
      returning id, tenant, queue, type, status, priority, crashes, attempts_made, ticketed_at, created_at, run_at, tags, metadata
    ), ${newArrivals(sql)}, ${newWords(sql)}
    select ${ticketable(sql)}, j.status, j.created_at, j.run_at from changed j`
}
