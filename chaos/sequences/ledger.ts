import { maxClaims } from '@jobyard/db/claim'
import type { Sql } from '@jobyard/db/connect'

/**
 * Adds to a record what the invariants look at besides its rows: `transitions`, a log of what became of each job, kept by triggers
 * so that no change escapes between two looks, and `effects`, what handlers wrote in their transactions.
 */
export async function addLedger(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create table if not exists transitions (
      job_id uuid not null, from_status text not null, to_status text not null, from_epoch int, to_epoch int, owner_lives boolean);
    create table if not exists effects (job_id uuid not null, epoch int not null);
    create or replace function log_transition() returns trigger language plpgsql as $$
    begin
      insert into transitions values (old.id, old.status, coalesce(new.status, 'pruned'), old.epoch, new.epoch,
        exists (select from workers where id = new.worker_id));
      return null;
    end $$;
    create or replace trigger job_changed after update on jobs for each row when (
      (old.status, old.epoch, old.attempts_made, old.crashes, old.output::text, old.error::text, old.cancel_requested_at is null)
      is distinct from
      (new.status, new.epoch, new.attempts_made, new.crashes, new.output::text, new.error::text, new.cancel_requested_at is null))
      execute function log_transition();
    create or replace trigger job_pruned after delete on jobs for each row execute function log_transition();`)
}

/** Empties the record and its ledger, and lets go of the space. */
export async function truncateRecord(sql: Sql): Promise<void> {
  await sql`truncate jobs, attempts, outbox, arrivals, claims, endings, workers, idempotency_keys, search_words, deduplications, transitions,
    effects`
}

/** Empties the record and its ledger: much faster than {@link truncateRecord}, but the space grows. */
export async function emptyRecord(sql: Sql): Promise<void> {
  await sql`
    with job as (delete from jobs), attempt as (delete from attempts), event as (delete from outbox), arrival as (delete from arrivals),
      claim as (delete from claims), ending as (delete from endings), worker as (delete from workers),
      key as (delete from idempotency_keys), word as (delete from search_words), deduplication as (delete from deduplications), effect as (delete from effects), queue as (update queues set paused = false)
    select`
  await sql`delete from transitions`
}

/**
 * Lets time pass: moves every instant of the record into the past. A job that is due in an hour is due once an hour has passed.
 */
export async function passTime(sql: Sql, minutes: number): Promise<void> {
  const by = sql`${minutes}::int * interval '1 minute'`
  await sql`
    with job as (
      update jobs set created_at = created_at - ${by}, run_at = run_at - ${by}, due_at = due_at - ${by}, expires_at = expires_at - ${by},
        ticketed_at = ticketed_at - ${by}, started_at = started_at - ${by}, finished_at = finished_at - ${by}
    ), arrival as (
      update arrivals set ticketed_at = ticketed_at - ${by}
    ), claim as (
      update claims set claimed_at = claimed_at - ${by}
    )
    update endings set ended_at = ended_at - ${by}`
}

/** Makes a queued job look as if it had been claimed as often as a job may be. */
export async function wearOut(sql: Sql, id: string): Promise<void> {
  await sql`update jobs set epoch = ${maxClaims}, progress = null, progress_note = null where id = ${id} and status = 'queued'`
}

/** @returns names of the tables in which something is left of jobs that are gone. */
export async function findLeftovers(sql: Sql): Promise<string[]> {
  const [row] = await sql<Record<string, boolean>[]>`
    select exists (select from jobs) as jobs, exists (select from attempts) as attempts, exists (select from outbox) as outbox,
      exists (select from endings) as endings, exists (select from arrivals) as arrivals, exists (select from claims) as claims`
  return Object.entries(row ?? {}).flatMap(([table, left]) => (left ? [table] : []))
}
