import type { Intake } from '@jobyard/queues/intake'
import type { Logger } from 'pino'
import { refusedKey, type JobActions } from './job-actions.ts'
import { fieldErrors, invalid, problemLog, problemOf } from './plugins/errors.ts'
import type { ProblemDocument } from './problem.ts'
import { batchItemSchema } from './schemas.ts'

/** What became of one item of a batch. */
export type ItemAnswer = { index: number; id: string } | { index: number; problem: ProblemDocument }

/** Accepts or refuses each item of a batch on its own. */
export class BatchItems {
  readonly #actions: JobActions
  readonly #intake: Pick<Intake, 'accept'>
  readonly #logProblem: ReturnType<typeof problemLog>

  constructor(actions: JobActions, intake: Pick<Intake, 'accept'>, log: Logger) {
    this.#actions = actions
    this.#intake = intake
    this.#logProblem = problemLog(log)
  }

  /** Hands one item in. @returns its answer, once its job is durable; never rejects. */
  submit(tenant: string, index: number, item: unknown): Promise<ItemAnswer> {
    try {
      const { idempotencyKey, ...submission } = parseItem(item)
      return this.#intake.accept(this.#actions.prepare(tenant, submission, idempotencyKey)).then(
        (result) => ('id' in result ? { index, id: result.id } : this.refuse(index, refusedKey(result))),
        (error: unknown) => this.refuse(index, error),
      )
    } catch (error) {
      return Promise.resolve(this.refuse(index, error))
    }
  }

  /** @returns the answer to an item that an error of any origin kept out. */
  refuse(index: number, error: unknown): ItemAnswer {
    const problem = problemOf(error)
    this.#logProblem(problem, error)
    return { index, problem: problem.toJSON() }
  }
}

function parseItem(item: unknown) {
  const parsed = batchItemSchema.safeParse(item)
  if (parsed.success) return parsed.data
  throw invalid(fieldErrors(parsed.error), 'item')
}
