import { textArray } from './arrays.ts'
import type { Sql } from './connect.ts'
import { queuedJobs } from './live.ts'

/** What of a tenant waits: jobs that are queued, scheduled or to be retried, without internal ones. */
export interface Waiting {
  readonly tenant: string
  readonly jobs: number
  /** Their input and metadata as they are stored, compressed where they are long. */
  readonly bytes: number
}

/** Jobs that are looked at, of all tenants: of those that are queued, and of those that wait for a time. */
export const waitingLimit = 1_000_000

/** Counts what waits of some tenants; those of whom nothing does are left out. Counts stop at {@link waitingLimit}. */
export async function countWaiting(sql: Sql, tenants: readonly string[]): Promise<Waiting[]> {
  const columns = sql`j.tenant, j.internal, pg_column_size(j.input) + pg_column_size(j.metadata) as bytes`
  return sql<Waiting[]>`
    select tenant, count(*)::int as jobs, sum(bytes)::float8 as bytes from (
      (select ${columns} from ${queuedJobs(sql)} order by a.queue, a.priority, a.ticketed_at limit ${waitingLimit}::int) union all
      (select ${columns} from jobs j where j.due_at is not null limit ${waitingLimit}::int)
    ) as waiting where tenant = any(${textArray(tenants)}::text::text[]) and not internal group by tenant`
}
