import type { Sql } from '@jobyard/db/connect'
import type { Contract } from '@jobyard/queues/define-job'
import type { Logger } from 'pino'
import type { z } from 'zod'

/** What a handler is told about a job, besides its input. */
export interface JobContext {
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
}

/** What a handler is given besides its input. */
export interface HandlerContext extends JobContext {
  /**
   * Runs `work` in a transaction that also settles the job as completed with the value it returns: both commit, once, or neither.
   * It must be the last thing a handler does (`return ctx.transaction(…)`); a second call throws.
   */
  transaction<Output>(work: (sql: Sql) => Promise<Output>): Promise<Output>
}

/** One job of a batch. Its signal aborts when this job is not wanted any more: it is settled then, and its answer ignored. */
export interface BatchedJob<Input = unknown> extends JobContext {
  readonly input: Input
}

/** What becomes of the jobs of a batch, in their order: an output each, or an error, which means what throwing it would mean. */
export type BatchAnswers<Output = unknown> = readonly (Output | Error)[]

/** What the handler of a batch is given besides its jobs. */
export interface BatchContext<Input = unknown, Output = unknown> {
  /** Aborts when none of the jobs is wanted any more. */
  readonly signal: AbortSignal
  /** Logger whose lines carry the type and the number of jobs. */
  readonly log: Logger
  /**
   * Runs `work` in a transaction that also settles the jobs by the answers it returns: all of it commits, once, or nothing.
   * `work` is given the jobs that this process still owns, and answers for these; their rows are locked until the end, so
   * that cancelling one of them waits: keep it short. It must be the last thing a handler does; a second call throws.
   */
  transaction(
    work: (sql: Sql, jobs: readonly BatchedJob<Input>[]) => Promise<BatchAnswers<Output>>,
  ): Promise<BatchAnswers<Output>>
}

/** Code of a job type that runs one job a call. */
export interface JobHandler {
  readonly contract: Contract
  run(input: unknown, ctx: HandlerContext): Promise<unknown>
}

/** Code of a job type that runs several jobs a call. */
export interface BatchHandler {
  readonly contract: Contract
  runBatch(jobs: readonly BatchedJob[], ctx: BatchContext): Promise<BatchAnswers>
}

/** Code of one job type. */
export type Handler = JobHandler | BatchHandler

/**
 * Binds a handler to its contract, so that input and output have the contract's types.
 *
 * @param contract the contract that names type, queue and shapes.
 * @param run called once per attempt with the parsed input; what it returns is checked against the contract's output.
 */
export function defineHandler<Input extends z.ZodType, Output extends z.ZodType>(
  contract: Contract<string, Input, Output>,
  run: (input: z.output<Input>, ctx: HandlerContext) => Promise<z.input<Output>>,
): JobHandler {
  return { contract, run: (input, ctx) => run(input as z.output<Input>, ctx) }
}

/**
 * Binds a handler of batches to its contract.
 *
 * @param contract the contract of a batched type.
 * @param run called with the jobs that were claimed together, each with its parsed input. It answers for each, in their order:
 *   an output, which is checked against the contract, or an Error. What it throws fails the attempt of every job.
 * @throws TypeError when the contract does not say `batch`.
 */
export function defineBatchHandler<Input extends z.ZodType, Output extends z.ZodType>(
  contract: Contract<string, Input, Output>,
  run: (
    jobs: readonly BatchedJob<z.output<Input>>[],
    ctx: BatchContext<z.output<Input>, z.input<Output>>,
  ) => Promise<BatchAnswers<z.input<Output>>>,
): BatchHandler {
  if (!contract.batch) throw new TypeError(`${contract.type} has a handler of batches, so its contract must say batch`)
  return {
    contract,
    runBatch: (jobs, ctx) => run(jobs as readonly BatchedJob<z.output<Input>>[], ctx as Parameters<typeof run>[1]),
  }
}
