import type { z } from 'zod'

/** How failed attempts of a type are repeated. */
export interface RetryPolicy {
  /** Attempts in all, the first one included. */
  readonly maxAttempts: number
  /** Wait before the second attempt, in milliseconds; doubles with each further one. */
  readonly initialDelayMs: number
  /** The waits one by one, in milliseconds, instead of doubling ones; the last one repeats. */
  readonly delaysMs?: readonly number[]
  /** Upper bound of the wait, in milliseconds. */
  readonly maxDelayMs: number
  /** Share of the wait by which it is spread at random, 0 to 1. */
  readonly jitter: number
}

/** How jobs of a batched type travel: several in one ticket, which is claimed and settled as a whole. */
export interface BatchPolicy {
  /** Jobs in one ticket at most. */
  readonly size: number
  /** How long a ticket that is not full waits for more jobs, in milliseconds. */
  readonly maxWaitMs: number
}

/** What stands about a type in one place: its name, its lane, its shapes and its policy. No code runs from here. */
export interface Contract<
  Type extends string = string,
  Input extends z.ZodType = z.ZodType,
  Output extends z.ZodType = z.ZodType,
> {
  readonly type: Type
  readonly queue: string
  readonly description: string
  readonly input: Input
  readonly output: Output
  readonly retry: RetryPolicy
  /** Time one attempt may take, in milliseconds. */
  readonly timeoutMs: number
  /** Absent for ordinary types. */
  readonly batch: BatchPolicy | undefined
  /** Types of the platform's own: not to be submitted, no events, hidden from lists. */
  readonly internal: boolean
}

export const defaultRetryPolicy: RetryPolicy = {
  maxAttempts: 5,
  initialDelayMs: 1_000,
  maxDelayMs: 600_000,
  jitter: 0.2,
}
const defaultTimeoutMs = 60_000
const largestBatch = 1_000
/**
 * Longest that a ticket may wait for more jobs, in milliseconds. It waits in the memory of one process; if that dies, a probe
 * finds the jobs. Together with the deadline of a send it must stay below the margin of the sweep.
 */
export const longestBatchWaitMs = 1_000
const typeName = /^[a-z][a-z0-9]*([._-][a-z0-9]+)*$/
const queueName = /^[a-z][a-z0-9-]{0,62}$/

/**
 * Makes the contract of a job type.
 *
 * @param definition the type's name (`image.thumbnail`), its queue (default `default`), zod schemas of input and output,
 *   and where they differ from the default, retry policy and time-out in milliseconds. With `batch`, jobs of the type that
 *   become ready together, in the same queue and with the same priority, share a ticket: up to `size` of them (1 to 1,000),
 *   gathered for up to `maxWaitMs` (0 to 1,000, default 0). Workers claim and settle such a ticket as a whole.
 * @returns the frozen contract with defaults filled in.
 * @throws TypeError when the name of the type or of the queue is malformed, or a number of `batch` out of bounds.
 */
export function defineJob<const Type extends string, Input extends z.ZodType, Output extends z.ZodType>(definition: {
  type: Type
  description: string
  input: Input
  output: Output
  queue?: string
  retry?: Partial<RetryPolicy>
  timeoutMs?: number
  batch?: { size: number; maxWaitMs?: number }
  internal?: boolean
}): Contract<Type, Input, Output> {
  const { type, queue = 'default' } = definition
  if (!typeName.test(type)) throw new TypeError(`Job type "${type}" must be lower case words joined by dots`)
  if (!queueName.test(queue))
    throw new TypeError(`Queue "${queue}" of ${type} must be lower case letters, digits and dashes`)
  return Object.freeze({
    type,
    queue,
    description: definition.description,
    input: definition.input,
    output: definition.output,
    retry: { ...defaultRetryPolicy, ...definition.retry },
    timeoutMs: definition.timeoutMs ?? defaultTimeoutMs,
    batch: definition.batch && batchPolicy(type, definition.batch),
    internal: definition.internal ?? false,
  })
}

function batchPolicy(type: string, { size, maxWaitMs = 0 }: { size: number; maxWaitMs?: number }): BatchPolicy {
  const check = (name: string, value: number, from: number, to: number) => {
    if (Number.isInteger(value) && value >= from && value <= to) return
    throw new TypeError(`batch.${name} of ${type} must be a whole number from ${from} to ${to}, and is ${value}`)
  }
  check('size', size, 1, largestBatch)
  check('maxWaitMs', maxWaitMs, 0, longestBatchWaitMs)
  return { size, maxWaitMs }
}
