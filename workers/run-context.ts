import type { Logger } from 'pino'
import type { JobContext } from './define-handler.ts'
import type { Run } from './ownership.ts'
import type { ProgressReports } from './progress-reports.ts'

/** What a handler sees of one run. Signal and logger are made when they are asked for: most handlers never do. */
export class RunContext implements JobContext {
  readonly run: Run
  readonly #base: Logger
  #log: Logger | undefined
  readonly progress: JobContext['progress']

  /** @param log the process's own. */
  constructor(run: Run, progress: ProgressReports, log: Logger) {
    const { id, epoch } = run.job
    this.run = run
    this.#base = log
    this.progress = (fraction, note) => progress.report({ id, epoch, fraction, note: note ?? null })
  }

  get jobId(): string {
    return this.run.job.id
  }

  get tenant(): string {
    return this.run.job.tenant
  }

  get attempt(): number {
    return this.run.job.attemptsMade + 1
  }

  get signal(): AbortSignal {
    return this.run.signal
  }

  get log(): Logger {
    const { jobId, attempt } = this
    return (this.#log ??= this.#base.child({ jobId, type: this.run.job.type, attempt }))
  }
}
