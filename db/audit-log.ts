import { plainArray, textArray } from './arrays.ts'
import type { Sql } from './connect.ts'

/** What somebody has asked for. */
export interface NewAuditEntry {
  readonly id: string
  readonly tenant: string
  /** Id of the key, or the subject of the token. */
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly address: string
}

/** What somebody has asked for, and what came of it. */
export interface AuditEntry extends NewAuditEntry {
  readonly askedAt: Date
  /** HTTP status of the answer; null while it is not known. */
  readonly outcome: number | null
}

/** What a listing may be narrowed to. */
export interface AuditFilter {
  readonly action?: string | undefined
  readonly actor?: string | undefined
  /** Only entries older than this one: where the page before ended. */
  readonly before?: string | undefined
}

/** How a request ended. */
export interface AuditOutcome {
  readonly id: string
  /** HTTP status. */
  readonly status: number
  /** What it was about, where that was not known before; empty when it was. */
  readonly target: string
}

/** Entries that one statement deletes at most. */
const pruneLimit = 1_000

/** Writes down what is about to be done. */
export async function insertAuditEntries(sql: Sql, entries: readonly NewAuditEntry[]): Promise<void> {
  const texts = (pick: (entry: NewAuditEntry) => string) => textArray(entries.map(pick))
  await sql`
    insert into audit_log (id, tenant, actor, action, target, address, asked_at)
    select id, tenant, actor, action, target, address, statement_timestamp() from unnest(
      ${plainArray(entries.map(({ id }) => id))}::text::uuid[], ${texts(({ tenant }) => tenant)}::text::text[],
      ${texts(({ actor }) => actor)}::text::text[], ${texts(({ action }) => action)}::text::text[],
      ${texts(({ target }) => target)}::text::text[], ${texts(({ address }) => address)}::text::text[]
    ) as entry (id, tenant, actor, action, target, address)`
}

/** Writes down how requests ended. */
export async function noteAuditOutcomes(sql: Sql, outcomes: readonly AuditOutcome[]): Promise<void> {
  const ids = plainArray(outcomes.map(({ id }) => id))
  const statuses = plainArray(outcomes.map(({ status }) => status))
  const targets = textArray(outcomes.map(({ target }) => target))
  await sql`
    update audit_log set outcome = (${statuses}::text::smallint[])[array_position(${ids}::text::uuid[], id)],
      target = coalesce(nullif((${targets}::text::text[])[array_position(${ids}::text::uuid[], id)], ''), target)
    where id = any(${ids}::text::uuid[])`
}

/**
 * Lists a tenant's entries, newest first.
 *
 * @param from only those that are not older than this one.
 */
export async function listAuditEntries(
  sql: Sql,
  tenant: string,
  filter: AuditFilter,
  { limit, from }: { readonly limit: number; readonly from?: string | undefined },
): Promise<AuditEntry[]> {
  const { action, actor } = filter
  return sql<AuditEntry[]>`
    select id, tenant, actor, action, target, address, asked_at, outcome from audit_log
    where ${olderThan(sql, tenant, filter)} and ${from === undefined ? sql`true` : sql`id >= ${from}`}
      and ${action === undefined ? sql`true` : sql`action = ${action}`} and ${actor === undefined ? sql`true` : sql`actor = ${actor}`}
    order by id desc limit ${limit}`
}

/** @returns the last of so many entries that a listing may look at; undefined when there are fewer, or no filter passes any over. */
export async function lastToLookAt(
  sql: Sql,
  tenant: string,
  filter: AuditFilter,
  look: number,
): Promise<string | undefined> {
  if (filter.action === undefined && filter.actor === undefined) return undefined
  const [last] = await sql<{ id: string }[]>`
    select id from audit_log where ${olderThan(sql, tenant, filter)} order by id desc offset ${look - 1} limit 1`
  return last?.id
}

function olderThan(sql: Sql, tenant: string, { before }: AuditFilter) {
  return sql`tenant = ${tenant} and ${before === undefined ? sql`true` : sql`id < ${before}`}`
}

/** Deletes entries by age, up to 1,000 at a time. @returns how many went. */
export async function pruneAuditEntries(sql: Sql, olderThanMs: number): Promise<number> {
  const rows = await sql`
    delete from audit_log where id = any(array(
      select id from audit_log where asked_at < statement_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'
      order by asked_at limit ${pruneLimit})) returning 1`
  return rows.length
}
