import type { Sql } from './connect.ts'
import { telling, tellsNothing, type Tells } from './telling.ts'

/** How far a running attempt is. */
export interface ProgressReport {
  readonly id: string
  readonly epoch: number
  /** 0 to 1. */
  readonly fraction: number
  readonly note: string | null
}

/** Records progress, for running jobs of the same epoch only. @param tells says whether `job.progress` is asked for. */
export async function reportProgress(
  sql: Sql,
  batch: readonly ProgressReport[],
  tells: Tells = tellsNothing,
): Promise<void> {
  const reports = [...batch].sort((a, b) => (a.id < b.id ? -1 : 1))
  const progress = telling(sql, tells('job.progress'), 'job.progress', {
    counts: sql`true`,
    holds: sql`true`,
    data: sql`json_build_object('status', 'running', 'progress', progress, 'progressNote', progress_note)`,
  })
  await sql`
    with report as materialized (
      select * from unnest(${reports.map((report) => report.id)}::uuid[], ${reports.map((report) => report.epoch)}::int[],
        ${reports.map((report) => report.fraction)}::real[], ${reports.map((report) => report.note)}::text[]) as t (id, epoch, fraction, note)
    ), mine as materialized (
      select j.id from jobs j join report r on r.id = j.id where j.status = 'running' and j.epoch = r.epoch order by j.id for update of j skip locked
    ), changed as (
      update jobs j set progress = r.fraction, progress_note = r.note${progress.counted}
      from mine join report r on r.id = mine.id
      where j.id = mine.id and j.status = 'running' and j.epoch = r.epoch
      returning j.id, j.tenant, j.internal, j.progress, j.progress_note${progress.returned}
    )${progress.event}
    select`
}
