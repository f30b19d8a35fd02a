import type { Database } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import type { JobStatus } from '@jobyard/db/statuses'

type Sql = Database['sql']

/** A job of this run as it stands in the record. */
export interface RecordedJob {
  readonly id: string
  readonly type: string
  readonly status: JobStatus
  readonly attemptsMade: number
  readonly createdAt: Date
  readonly finishedAt: Date | null
  /** Why it failed. */
  readonly reason: string | null
  /** Of `github.event`: what its output names. */
  readonly repository: string | null
}

/** What was told of the end of a job. */
export interface TerminalEvent {
  readonly jobId: string
  readonly type: string
}

/** Events of GitHub per repository: as the handler counted them, and as jobs that completed. */
export interface RepositoryActivity {
  readonly repository: string
  readonly counted: number
  readonly completed: number
}

/** Reads what a run left in the record, past the API. */
export interface RunRecord {
  /** Counts of jobs that have ended, by type. */
  countEnded(): Promise<Map<string, number>>
  jobs(): Promise<RecordedJob[]>
  events(): Promise<TerminalEvent[]>
  /** Both counts are of one moment. Those of jobs go back to shortly before the run: only their growth means something. */
  activity(): Promise<RepositoryActivity[]>
}

/** Looks at one run. Made before the first job is submitted: its queries start at ids and instants that lie before them. */
export async function openRecord(sql: Sql, tag: string): Promise<RunRecord> {
  const firstId = newId()
  const [{ since }] = await sql<[{ since: Date }]>`select now() - interval '10 minutes' as since`
  const ofThisRun = sql`tenant = 'default' and id >= ${firstId} and tags @> array[${tag}]::text[]`
  return {
    countEnded: async () => {
      const rows = await sql<{ type: string; ended: number }[]>`
        select type, count(*)::int as ended from jobs where ${ofThisRun} and finished_at is not null group by type`
      return new Map(rows.map(({ type, ended }) => [type, ended]))
    },
    jobs: () => sql<RecordedJob[]>`
      select id, type, status, attempts_made, created_at, finished_at, error->>'reason' as reason,
        case when type = 'github.event' then output->>'repository' end as repository
      from jobs where ${ofThisRun} order by id`,
    events: () => sql<TerminalEvent[]>`
      select job_id, type from outbox
      where occurred_at >= ${since} and job_id in (select id from jobs where ${ofThisRun})
        and type in ('job.completed', 'job.failed', 'job.cancelled')`,
    activity: () => sql<RepositoryActivity[]>`
      with counted as (
        select repository, sum(events)::int as counted from github_activity where tenant = 'default' group by repository
      ), finished as (
        select output->>'repository' as repository, count(*)::int as completed from jobs
        where tenant = 'default' and queue = 'github' and status = 'completed' and finished_at >= ${since} and type = 'github.event'
        group by 1
      )
      select repository, coalesce(counted, 0) as counted, coalesce(completed, 0) as completed
      from counted full join finished using (repository)`,
  }
}

/** @returns what each repository gained from one look to the next; those without any are left out. */
export function growth(
  before: readonly RepositoryActivity[],
  after: readonly RepositoryActivity[],
): RepositoryActivity[] {
  const earlier = new Map(before.map((row) => [row.repository, row]))
  return after
    .map(({ repository, counted, completed }) => {
      const old = earlier.get(repository)
      return { repository, counted: counted - (old?.counted ?? 0), completed: completed - (old?.completed ?? 0) }
    })
    .filter(({ counted, completed }) => counted !== 0 || completed !== 0)
}
