import type { Sql } from './connect.ts'

/** How far a running attempt is. */
export interface ProgressReport {
  readonly id: string
  readonly epoch: number
  /** 0 to 1. */
  readonly fraction: number
  readonly note: string | null
}

/** Records progress, for running jobs of the same epoch only. */
export async function reportProgress(sql: Sql, batch: readonly ProgressReport[]): Promise<void> {
  const reports = [...batch].sort((a, b) => (a.id < b.id ? -1 : 1))
  await sql`
    with report as materialized (
      select * from unnest(${reports.map((report) => report.id)}::uuid[], ${reports.map((report) => report.epoch)}::int[],
        ${reports.map((report) => report.fraction)}::real[], ${reports.map((report) => report.note)}::text[]) as t (id, epoch, fraction, note)
    ), mine as materialized (
      select j.id from jobs j join report r on r.id = j.id where j.status = 'running' and j.epoch = r.epoch order by j.id for update of j skip locked
    )
    update jobs j set progress = r.fraction, progress_note = r.note
    from mine join report r on r.id = mine.id
    where j.id = mine.id and j.status = 'running' and j.epoch = r.epoch`
}
