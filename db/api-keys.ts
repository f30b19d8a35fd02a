import { plainArray } from './arrays.ts'
import type { Sql } from './connect.ts'

/** What a caller may do; each role includes those before it. */
export const roles = ['reader', 'submitter', 'operator', 'admin'] as const
export type Role = (typeof roles)[number]

/** Name of a tenant. */
export const tenantPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** A key as it stands in the record; the key itself stands nowhere. */
export interface ApiKeyRow {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly role: Role
  /** The first characters of the key. */
  readonly prefix: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  /** To the minute. */
  readonly lastUsedAt: Date | null
}

/** What is stored of a new key. */
export interface NewApiKey extends Pick<ApiKeyRow, 'id' | 'tenant' | 'name' | 'role' | 'prefix' | 'expiresAt'> {
  /** SHA-256 of the key. */
  readonly hash: Buffer
}

/** What is known of a key that somebody has shown. */
export interface FoundKey extends Pick<ApiKeyRow, 'id' | 'tenant' | 'role'> {
  readonly hash: Buffer
  /** Milliseconds until it expires by the clock of Postgres, negative when it has; null when it never does. */
  readonly expiresInMs: number | null
}

/** Time between two notes of when a key was last used, in milliseconds. */
export const noteUseEveryMs = 60_000

/** Stores a key. @returns undefined when its moment of expiry has come by the clock of Postgres. */
export async function insertApiKey(sql: Sql, key: NewApiKey): Promise<ApiKeyRow | undefined> {
  const { id, tenant, name, role, hash, prefix, expiresAt } = key
  const [row] = await sql<ApiKeyRow[]>`
    insert into api_keys (id, tenant, name, role, hash, prefix, created_at, expires_at)
    select ${id}::uuid, ${tenant}, ${name}, ${role}, ${hash}::bytea, ${prefix}, statement_timestamp(), ${expiresAt}::timestamptz
    where coalesce(${expiresAt}::timestamptz > statement_timestamp(), true)
    returning ${columns(sql)}`
  return row
}

/** @returns those keys that have one of these hashes. */
export async function findApiKeys(sql: Sql, hashes: readonly Buffer[]): Promise<FoundKey[]> {
  const literal = plainArray(hashes.map((hash) => hash.toString('hex')))
  return sql<FoundKey[]>`
    select id, tenant, role, hash, (extract(epoch from expires_at - statement_timestamp()) * 1000)::float8 as expires_in_ms
    from api_keys where hash = any(array(select decode(hex, 'hex') from unnest(${literal}::text::text[]) as hex))`
}

/** @param tenant whose key it must be; anybody's when absent. */
export async function readApiKey(sql: Sql, tenant: string | undefined, id: string): Promise<ApiKeyRow | undefined> {
  const [row] = await sql<ApiKeyRow[]>`
    select ${columns(sql)} from api_keys where id = ${id} and ${ofTenant(sql, tenant)}`
  return row
}

/**
 * Lists keys, newest first.
 *
 * @param tenant whose keys; everybody's when absent.
 * @param before only those older than this one: where the page before ended.
 */
export async function listApiKeys(
  sql: Sql,
  tenant: string | undefined,
  { limit, before }: { readonly limit: number; readonly before?: string | undefined },
): Promise<ApiKeyRow[]> {
  return sql<ApiKeyRow[]>`
    select ${columns(sql)} from api_keys
    where ${ofTenant(sql, tenant)} and ${before === undefined ? sql`true` : sql`id < ${before}`}
    order by id desc limit ${limit}`
}

/** Revokes a key. @param tenant whose key it must be; anybody's when absent. @returns what it was; undefined when there is no such. */
export async function deleteApiKey(sql: Sql, tenant: string | undefined, id: string): Promise<ApiKeyRow | undefined> {
  const [row] = await sql<ApiKeyRow[]>`
    delete from api_keys where id = ${id} and ${ofTenant(sql, tenant)} returning ${columns(sql)}`
  return row
}

/** Notes that keys are used, those excepted of which that was noted less than {@link noteUseEveryMs} ago. */
export async function noteKeysUsed(sql: Sql, ids: readonly string[]): Promise<void> {
  await sql`
    update api_keys set last_used_at = statement_timestamp()
    where id = any(${plainArray(ids)}::text::uuid[])
      and coalesce(last_used_at < statement_timestamp() - ${noteUseEveryMs}::float8 * interval '1 millisecond', true)`
}

function columns(sql: Sql) {
  return sql`id, tenant, name, role, prefix, created_at, expires_at, last_used_at`
}

function ofTenant(sql: Sql, tenant: string | undefined) {
  return tenant === undefined ? sql`true` : sql`tenant = ${tenant}`
}
