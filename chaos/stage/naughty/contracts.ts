import { catalogue, createCatalogue } from '@jobyard/queues/catalogue'
import { defineJob } from '@jobyard/queues/define-job'
import { z } from 'zod'

/** What a handler can do to the process that runs it. */
export const poisons = ['exit', 'exhaust memory', 'loop', 'leave a rejection', 'throw later'] as const

/** What a handler can throw. */
export const throwables = [
  'null',
  'undefined',
  'a symbol',
  'a getter that throws',
  'a revoked proxy',
  '10 MB',
  'NUL and half a character',
  'bullmq:rateLimitExceeded',
  'DelayedError',
  'WaitingError',
  'WaitingChildrenError',
  'UnrecoverableError',
] as const

/** What a handler can return that no JSON can hold, or hardly. */
export const returnables = [
  'a BigInt',
  'a cycle',
  '50 MB',
  'NUL and half a character',
  'nothing, ever',
  'a getter that throws',
  'a toJSON that throws',
  'undefined',
  'a function',
  'too deep a nest',
] as const

const choice = z.discriminatedUnion('does', [
  z.strictObject({ does: z.literal('sleep'), ms: z.int(), heedsSignal: z.boolean() }),
  z.strictObject({ does: z.literal('poison'), how: z.enum(poisons) }),
  z.strictObject({ does: z.literal('throw'), what: z.enum(throwables) }),
  z.strictObject({ does: z.literal('return'), what: z.enum(returnables) }),
])
export type Deed = z.output<typeof choice>

/** Does what nobody should. */
export const naughty = defineJob({
  type: 'naughty',
  queue: 'naughty',
  description: 'Misbehaves as its input says.',
  input: choice,
  output: z.unknown(),
  retry: { maxAttempts: 1, initialDelayMs: 1_000, jitter: 0 },
})

/** Jobs that are run and settled five hundred at once. */
export const crowd = defineJob({
  type: 'naughty.crowd',
  queue: 'naughty',
  description: 'Answers how many came together; one that spoils answers what Postgres cannot store.',
  input: z.strictObject({ spoils: z.boolean() }),
  output: z.unknown(),
  batch: { size: 500, maxWaitMs: 1_000 },
})

/** The built-in types and the naughty ones. */
export const naughtyCatalogue = createCatalogue([...catalogue.contracts, naughty, crowd])
