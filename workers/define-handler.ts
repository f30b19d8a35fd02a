import type { Sql } from '@jobyard/db/connect'
import type { Contract } from '@jobyard/queues/define-job'
import type { Logger } from 'pino'
import type { z } from 'zod'

/** What a handler is given besides its input. */
export interface HandlerContext {
  /** Aborts on time-out, cancellation, shutdown past its grace, and loss of ownership. */
  readonly signal: AbortSignal
  readonly jobId: string
  readonly tenant: string
  /** Number of this attempt, from 1. */
  readonly attempt: number
  /** Logger whose lines carry the job's id and type. */
  readonly log: Logger
  /** Reports how far the job is, 0 to 1, with an optional note; cheap, the newest report wins. */
  progress(fraction: number, note?: string): void
  /**
   * Runs `work` in a transaction that also settles the job as completed with the value it returns: both commit, once, or neither.
   * It must be the last thing a handler does (`return ctx.transaction(…)`); a second call throws.
   */
  transaction<Output>(work: (sql: Sql) => Promise<Output>): Promise<Output>
}

/** Code of one job type. */
export interface Handler {
  readonly contract: Contract
  run(input: unknown, ctx: HandlerContext): Promise<unknown>
}

/**
 * Binds a handler to its contract, so that input and output have the contract's types.
 *
 * @param contract the contract that names type, queue and shapes.
 * @param run called once per attempt with the parsed input; what it returns is checked against the contract's output.
 */
export function defineHandler<Input extends z.ZodType, Output extends z.ZodType>(
  contract: Contract<string, Input, Output>,
  run: (input: z.output<Input>, ctx: HandlerContext) => Promise<z.input<Output>>,
): Handler {
  return { contract, run: (input, ctx) => run(input as z.output<Input>, ctx) }
}
