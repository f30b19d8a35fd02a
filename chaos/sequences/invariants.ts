/** What must hold in the record at every moment: a statement that finds nothing, each row it finds being a violation. */
export interface Invariant {
  readonly name: string
  /** Selects one column, `what`. */
  readonly sql: string
}

const terminal = `('completed', 'failed', 'cancelled')`
const endingFits = 'e.queue = j.queue and e.tenant = j.tenant and e.status = j.status'

/** Judged after every step. */
export const invariants: readonly Invariant[] = [
  {
    name: 'a terminal status is never left',
    sql: `select job_id || ': ' || from_status || ' → ' || to_status as what from transitions
      where from_status in ${terminal} and to_status <> 'pruned'`,
  },
  {
    name: 'a job goes only where the state machine leads',
    sql: `select job_id || ': ' || from_status || ' → ' || to_status as what from transitions
      where from_status <> to_status and from_status not in ${terminal} and (from_status, to_status) not in (
        ('scheduled', 'queued'), ('queued', 'running'), ('queued', 'failed'), ('retrying', 'queued'),
        ('running', 'completed'), ('running', 'retrying'), ('running', 'queued'), ('running', 'failed'), ('running', 'cancelled'),
        ('scheduled', 'cancelled'), ('queued', 'cancelled'), ('retrying', 'cancelled'))`,
  },
  {
    name: 'the epoch never goes down, and each claim counts it up',
    sql: `select job_id || ': ' || from_epoch || ' → ' || to_epoch as what from transitions
      where to_epoch < from_epoch or (from_status = 'queued' and to_status = 'running' and to_epoch <> from_epoch + 1)`,
  },
  {
    name: 'a write with an old epoch changes nothing',
    sql: `select id || ' has the output of epoch ' || (output->>'epoch') as what from jobs where (output->>'epoch')::int <> epoch
      union all
      select id || ' has the progress of ' || progress_note from jobs where progress_note <> 'epoch ' || epoch
      union all
      select job_id || ' has the error of ' || (error->>'message') from attempts
      where error->>'message' like 'epoch %' and error->>'message' <> 'epoch ' || epoch
      union all
      select j.id || ' has an effect of epoch ' || e.epoch from effects e join jobs j on j.id = e.job_id where e.epoch <> j.epoch`,
  },
  {
    name: 'a running job was claimed by a worker that had a row',
    sql: `select job_id || ' was claimed for nobody' as what from transitions
      where from_status = 'queued' and to_status = 'running' and not owner_lives
      union all
      select id || ' runs for nobody' from jobs where status = 'running' and worker_id is null`,
  },
  {
    name: 'a job that ended has one event of its kind, and no other job has any',
    sql: `select j.id || ' is ' || j.status || ' and has events ' || coalesce(string_agg(o.type, ', '), 'none') as what
      from jobs j left join outbox o on o.job_id = j.id group by j.id
      having coalesce(array_agg(o.type) filter (where o.type is not null), '{}')
        <> case when j.status in ${terminal} and not j.internal then array['job.' || j.status] else '{}' end
      union all
      select job_id || ' has an event but no row' from outbox o
      where not exists (select from jobs j where j.id = o.job_id)
        and not exists (select from endings e where e.queue is null and o.job_id = any(e.job_ids))`,
  },
  {
    name: 'a job that ended is listed in one ending, and no other job in any',
    sql: `select j.id || ' is ' || j.status || ' and listed in ' || count(e.ended_at) || ' endings, '
        || count(e.ended_at) filter (where ${endingFits}) || ' of them right' as what
      from jobs j left join endings e on j.id = any(e.job_ids) group by j.id
      having (count(e.ended_at), count(e.ended_at) filter (where ${endingFits}))
        <> ((j.status in ${terminal})::int, (j.status in ${terminal})::int)
      union all
      select 'an ending lists ' || member.id || ', which is gone' from endings e cross join unnest(e.job_ids) as member (id)
      where e.queue is not null and not exists (select from jobs j where j.id = member.id)
      union all
      select 'an ending counts ' || jobs || ' of ' || cardinality(job_ids) from endings where jobs <> cardinality(job_ids)
      union all
      select 'an ending counts ' || e.events || ' events, and lists ' || j.id from endings e join jobs j on j.id = any(e.job_ids)
      where e.events <> case when j.internal then 0 else e.jobs end`,
  },
  {
    name: 'a queued job is listed in one arrival since then',
    sql: `select j.id || ' waits, and is listed in ' || count(a.ticketed_at) || ' arrivals' as what
      from jobs j left join arrivals a on j.id = any(a.job_ids) and a.ticketed_at = j.ticketed_at and a.queue = j.queue
        and a.priority = j.priority and a.suspect = (j.crashes >= 2)
      where j.status = 'queued' group by j.id having count(a.ticketed_at) <> 1`,
  },
  {
    name: 'a running job is listed in one claim of its worker',
    sql: `select j.id || ' runs, and is listed in ' || count(c.worker_id) || ' claims' as what
      from jobs j left join claims c on j.id = any(c.job_ids) and c.worker_id = j.worker_id and c.claimed_at = j.started_at
      where j.status = 'running' group by j.id having count(c.worker_id) <> 1`,
  },
  {
    name: 'attempts and crashes are counted as they are recorded',
    sql: `select j.id || ' is ' || j.status || ' with ' || j.attempts_made || ' attempts and ' || j.crashes || ' crashes, recorded as '
        || recorded.outcomes::text as what
      from jobs j cross join lateral (
        select count(*) as all, count(*) filter (where outcome in ('failed', 'timed_out')) as spent,
          count(*) filter (where outcome = 'crashed' and epoch > last_ended) as crashes,
          coalesce(array_agg(outcome order by epoch), '{}') as outcomes
        from attempts a, lateral (
          select coalesce(max(t.to_epoch), 0) as last_ended from transitions t
          where t.job_id = j.id and t.from_status = 'running' and t.to_status = 'retrying'
        ) as retried where a.job_id = j.id) as recorded
      where j.attempts_made <> recorded.spent + (j.status = 'completed')::int or j.crashes <> case when j.internal then 0 else recorded.crashes end
        or (select count(*) from transitions t where t.job_id = j.id and t.from_status = 'queued' and t.to_status = 'running')
          <> recorded.all + (j.status in ('running', 'completed'))::int
      union all
      select job_id || ' has attempt ' || attempt || ' where ' || due || ' is due' from (
        select job_id, attempt, 1 + count(*) filter (where outcome in ('failed', 'timed_out'))
          over (partition by job_id order by epoch rows between unbounded preceding and 1 preceding) as due from attempts) as numbered
      where attempt <> due`,
  },
  {
    name: 'a cancellation is never forgotten',
    sql: `select id || ' is ' || status || ' although cancelled' as what from jobs
      where cancel_requested_at is not null and status in ('scheduled', 'queued', 'retrying')`,
  },
  {
    name: 'a job has an output if it completed, and only then',
    sql: `select id || ' is ' || status || ' with output ' || coalesce(output::text, 'none') as what from jobs
      where (output is not null) <> (status = 'completed')`,
  },
  {
    name: 'what a handler wrote in its transaction is there once, if it completed the job',
    sql: `select j.id || ' is ' || j.status || ', completed by ' || coalesce(j.output->>'by', 'nobody') || ', with '
        || count(e.epoch) || ' effects' as what
      from jobs j left join effects e on e.job_id = j.id group by j.id
      having count(e.epoch) <> (j.status = 'completed' and j.output->>'by' = 'transaction')::int`,
  },
  {
    name: 'an idempotency key makes one job',
    sql: `select metadata->>'key' || ' made ' || count(*) || ' jobs' as what from jobs
      where metadata->>'key' is not null and redrive_of is null group by tenant, metadata->>'key' having count(*) > 1`,
  },
  {
    name: 'unfinished jobs of a type with one deduplication key are one',
    sql: `select deduplication_key || ' has ' || count(*) || ' unfinished jobs' as what from jobs
      where deduplication_key is not null and finished_at is null group by tenant, type, deduplication_key having count(*) > 1`,
  },
  {
    name: 'a job is found by its metadata and its end, and nothing else is found',
    sql: `select j.id || ' is ' || j.status || ' with ' || j.metadata::text || ' and has words ' || coalesce(string_agg(w.word, ', '), 'none') as what
      from jobs j left join search_words w on w.job_id = j.id and w.tenant = j.tenant group by j.id
      having coalesce(array_agg(w.word order by w.word) filter (where w.word is not null), '{}') <> array_remove(array[
        'metadata:key=' || (j.metadata->>'key'), case when j.status in ('failed', 'cancelled') then 'status:' || j.status end], null)
      union all
      select w.job_id || ' is gone and has the word ' || w.word from search_words w
      where not exists (select from jobs j where j.id = w.job_id and j.tenant = w.tenant)`,
  },
  {
    name: 'what belongs to a job belongs to its tenant',
    sql: `select j.id || ' of ' || j.tenant || ' has something of ' || other.tenant as what
      from jobs j join (
        select job_id, tenant from attempts union all select job_id, tenant from outbox
        union all select unnest(job_ids), tenant from endings
      ) as other on other.job_id = j.id where other.tenant <> j.tenant`,
  },
]
