import type { Sql } from './connect.ts'

/** Events of jobs that are written only while somebody asks for them. */
export const optInEvents = ['job.started', 'job.retrying', 'job.progress'] as const
export type OptInEvent = (typeof optInEvents)[number]

/** Whether somebody asks for events of a type. */
export type Tells = (type: OptInEvent) => boolean

/** Nobody asks for anything. */
export const tellsNothing: Tells = () => false

type Fragment = ReturnType<Sql>

/** What a statement that changes jobs adds to tell of it: nothing at all where nobody asks. */
export interface Telling {
  /** Among the assignments of the update of `j`: counts the event, under the lock of the row, so that no number comes twice. */
  readonly counted: Fragment
  /** Among what it returns as `changed`. */
  readonly returned: Fragment
  /** After `changed`: writes the events. */
  readonly event: Fragment
}

/**
 * Lets a statement tell of the jobs that it changes.
 *
 * @param told whether anybody asks.
 * @param type of the event.
 * @param terms `counts`: which rows are told of, of the table `j` as it was and what it is joined with; `holds`: the same of `changed`;
 *   `data`: JSON object of columns of `changed`. Internal jobs are never told of.
 */
export function telling(
  sql: Sql,
  told: boolean,
  type: OptInEvent,
  { counts, holds, data }: { readonly counts: Fragment; readonly holds: Fragment; readonly data: Fragment },
): Telling {
  if (!told) return { counted: sql``, returned: sql``, event: sql`` }
  return {
    counted: sql`, told = case when ${counts} and not j.internal then coalesce(j.told, 0) + 1 else j.told end`,
    returned: sql`, j.told, j.run_at`,
    event: sql`, telling as (
      insert into outbox (id, tenant, job_id, type, occurred_at, data, sequence)
      select ${freshId(sql)}, tenant, id, ${type}, clock_timestamp(), json_strip_nulls(${data}), told
      from changed where ${holds} and not internal
    )`,
  }
}

/** A UUIDv7, which Postgres makes itself from 18 on only. */
function freshId(sql: Sql) {
  return sql`(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
    || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid`
}

/** An instant as events write it. */
export function rfc3339(sql: Sql, instant: Fragment) {
  return sql`to_char(${instant} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
}

/** Asks for events of these types for some time, in milliseconds, as a stream does while it is read. */
export async function wishForEvents(sql: Sql, types: readonly OptInEvent[], forMs: number): Promise<void> {
  await sql`
    insert into wishes (type, until)
    select type, statement_timestamp() + ${forMs}::float8 * interval '1 millisecond' from unnest(${[...types].sort()}::text[]) as type
    on conflict (type) do update set until = greatest(wishes.until, excluded.until)`
}

/** @returns the types of events that streams or enabled endpoints ask for, among those that are written only then. */
export async function readWishes(sql: Sql): Promise<OptInEvent[]> {
  const rows = await sql<{ type: OptInEvent }[]>`
    select type from wishes where until > statement_timestamp()
    union select type from endpoints cross join unnest(events) as type
    where disabled_at is null and type = any(${[...optInEvents]}::text[])`
  return rows.map(({ type }) => type)
}
