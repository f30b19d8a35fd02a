import type { Database } from '@jobyard/db/connect'
import { reportProgress, type ProgressReport } from '@jobyard/db/progress'
import { tellsNothing, type Tells } from '@jobyard/db/telling'

/** Characters of a progress note that are kept. */
const noteLimit = 500
/** Jobs whose reports are kept until they are written; those of further ones are dropped, as while Postgres is silent. */
const jobLimit = 10_000

/** Collects the newest report of each running job, and writes them together. Losing one costs nothing. */
export class ProgressReports {
  readonly #sql: Database['sql']
  readonly #tells: Tells
  readonly #newest = new Map<string, ProgressReport>()

  /** @param tells says which events are asked for. */
  constructor(sql: Database['sql'], tells: Tells = tellsNothing) {
    this.#sql = sql
    this.#tells = tells
  }

  /** Notes how far a job is; never throws. Fractions are clamped to 0 to 1. */
  report({ id, epoch, fraction, note }: ProgressReport): void {
    if (!Number.isFinite(fraction) || (this.#newest.size >= jobLimit && !this.#newest.has(id))) return
    const clamped = Math.min(Math.max(fraction, 0), 1)
    this.#newest.set(id, { id, epoch, fraction: clamped, note: note?.replaceAll('\0', '').slice(0, noteLimit) ?? null })
  }

  /** Writes what was reported since the last time. */
  async runOnce(): Promise<void> {
    if (this.#newest.size === 0) return
    const reports = [...this.#newest.values()]
    this.#newest.clear()
    await reportProgress(this.#sql, reports, this.#tells)
  }
}
