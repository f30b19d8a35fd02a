import type { Sql } from './connect.ts'

/** Keys of the advisory lock that the one sequencer holds: "job" and "seq" in ASCII. */
const lockKeys = { class: 0x6a_6f_62, object: 0x73_65_71 }

/** Rows of each kind that one statement places at most: batches of ended jobs, and events of their own. */
export const placeLimit = 1_000

/**
 * Time before the last moment that was placed from which on rows are looked at, in milliseconds: one whose statement was long in
 * committing is found there. Looking from the beginning would pass by all that was placed since a transaction elsewhere began.
 */
const lateCommitMs = 120_000

/** Silence after which Postgres ends the connection that holds the lock; its holder speaks every second. */
const longestSilence = '15s'

/**
 * Tries to become the one that gives events their places, until the connection ends. It ends too when its holder falls silent: a
 * machine that vanished, or a process that was halted, would keep the lock for hours.
 *
 * @param sql of one connection, which sends nothing else meanwhile.
 */
export async function lockSequence(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ locked: boolean }[]>`
    select locked, set_config('idle_session_timeout', case when locked then ${longestSilence} else '0' end, false)
    from pg_try_advisory_lock(${lockKeys.class}::int, ${lockKeys.object}::int) as locked`
  return row?.locked ?? false
}

/** Lets another sequencer take over. */
export async function unlockSequence(sql: Sql): Promise<void> {
  await sql`select pg_advisory_unlock(${lockKeys.class}::int, ${lockKeys.object}::int)`
}

/** What one statement placed. */
export interface Placing {
  /** Whether the connection holds the lock. If not, nothing was placed. */
  readonly held: boolean
  /** Events that got their places. */
  readonly events: number
  /** Rows that they stand in. */
  readonly rows: number
  /** Moment of the last of them, as Postgres writes it; null when there was none. */
  readonly last: string | null
}

/**
 * Gives events that have none their places in the stream, by their time, without a gap. Where there are more of one kind than one
 * statement places, the other kind waits for them: else a job would start after its end. Must be called on the connection that holds
 * the lock, in a statement after the one that took it, whose snapshot is younger; the statement asks whether it does, since a driver
 * connects anew without a word.
 *
 * @param after moment up to which everything is known to be placed, but for late commits; the beginning when absent.
 */
export async function placeEvents(sql: Sql, after = '-infinity'): Promise<Placing> {
  const from = sql`${after}::text::timestamptz - ${lateCommitMs}::float8 * interval '1 millisecond'`
  const [row] = await sql<Placing[]>`
    with head as materialized (
      select head from stream where exists (
        select from pg_locks where locktype = 'advisory' and classid = ${lockKeys.class}::int::oid and objid = ${lockKeys.object}::int::oid
          and objsubid = 2 and granted and pid = pg_backend_pid()
          and database = (select oid from pg_database where datname = current_database()))
    ), ended as materialized (
      select ctid, ended_at as at, events from endings
      where position is null and events > 0 and ended_at >= ${from} and exists (select from head)
      order by ended_at limit ${placeLimit}
    ), told as materialized (
      select ctid, occurred_at as at from outbox
      where position is null and data is not null and occurred_at >= ${from} and exists (select from head)
      order by occurred_at limit ${placeLimit}
    ), known as materialized (
      select min(at) as until from (
        select max(at) as at from ended having count(*) >= ${placeLimit} union all select max(at) from told having count(*) >= ${placeLimit}
      ) as full_batch
    ), place as materialized (
      select tid, is_ending, at, events, head + sum(events) over (order by at, is_ending, tid rows unbounded preceding) as position
      from (select ctid as tid, true as is_ending, at, events from ended union all select ctid, false, at, 1 from told) as unplaced, head, known
      where known.until is null or at <= known.until
    ), ending as (
      update endings e set position = place.position from place where place.is_ending and e.ctid = place.tid
    ), event as (
      update outbox o set position = place.position from place where not place.is_ending and o.ctid = place.tid
    ), advanced as (
      update stream s set head = (select max(position) from place) where exists (select from place)
    )
    select exists (select from head) as held, count(*)::int as rows, coalesce(sum(events), 0)::int as events, max(at)::text as last from place`
  return row ?? { held: false, events: 0, rows: 0, last: null }
}

/** Channels of nudges: there may be events without a place, and there are events with new places. */
export const unplacedChannel = 'jobyard_unplaced'
export const placedChannel = 'jobyard_placed'

/** Tells whoever listens. Takes a lock that all commits with notifications share, so: on its own, after the commit it tells of. */
export async function notify(sql: Sql, channel: string): Promise<void> {
  await sql`select pg_notify(${channel}, '')`
}
