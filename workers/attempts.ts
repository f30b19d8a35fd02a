import type { Handler } from './define-handler.ts'
import type { Run } from './ownership.ts'
import { runAttempt, type AttemptDependencies } from './run-attempt.ts'
import { runBatch } from './run-batch.ts'

/** Runs claimed jobs by the handlers of this process. */
export class Attempts {
  readonly #handlers: ReadonlyMap<string, Handler>
  readonly #deps: AttemptDependencies
  readonly #executing = new Set<readonly Run[]>()

  constructor(handlers: readonly Handler[], deps: AttemptDependencies) {
    this.#handlers = new Map(handlers.map((handler) => [handler.contract.type, handler]))
    this.#deps = deps
  }

  /** @returns the runs as they are to be executed: those of one type together where its handler takes batches, else each alone. */
  group(runs: readonly Run[]): Run[][] {
    const groups: Run[][] = []
    const batches = new Map<string, Run[]>()
    for (const run of runs) {
      const { type } = run.job
      const batch = batches.get(type)
      if (batch) batch.push(run)
      else {
        const group = [run]
        groups.push(group)
        if (this.#takesBatches(type)) batches.set(type, group)
      }
    }
    return groups
  }

  /** Groups whose handler has begun and not ended. */
  get executing(): ReadonlySet<readonly Run[]> {
    return this.#executing
  }

  /** Executes a group of {@link group}. Never throws. @returns once the handler has ended. */
  async execute(group: readonly Run[]): Promise<void> {
    this.#executing.add(group)
    try {
      await this.#run(group)
    } finally {
      this.#executing.delete(group)
    }
  }

  async #run(group: readonly Run[]): Promise<void> {
    for (const run of group) {
      const handler = this.#handlers.get(run.job.type)
      if (handler && 'runBatch' in handler) return runBatch(group, handler, this.#deps)
      await runAttempt(run, handler, this.#deps)
    }
  }

  #takesBatches(type: string): boolean {
    const handler = this.#handlers.get(type)
    return handler !== undefined && 'runBatch' in handler
  }
}
