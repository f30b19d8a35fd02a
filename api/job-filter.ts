import type { JobFilter } from '@jobyard/db/search'
import { jobStatuses } from '@jobyard/db/statuses'
import { instant, storableText } from '@jobyard/queues/job-terms'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { invalid } from './plugins/errors.ts'
import type { Problem } from './problem.ts'

const mostFields = 5
const tooManyFields = `may name ${mostFields} fields at most`
const isFew = (fields: object) => Object.keys(fields).length <= mostFields

/** What jobs are narrowed to, in listings and in redrives. */
const filterFields = {
  type: storableText().max(255).optional(),
  queue: storableText().max(255).optional(),
  tag: storableText().max(64).optional(),
  createdAfter: instant.optional(),
  createdBefore: instant.optional(),
}

const metadataFilter = z
  .record(storableText().max(200), storableText().max(200))
  .refine(isFew, tooManyFields)
  .optional()
  .meta({
    style: 'deepObject',
    explode: true,
    description:
      'Values of fields at the top of the metadata, as `metadata[customer]=42`: texts, numbers and booleans of up to about 190 characters, ' +
      "among a job's first 20 such fields",
  })

export const listQuery = z.strictObject({
  ...filterFields,
  status: z.enum(jobStatuses).optional(),
  metadata: metadataFilter,
  limit: z
    .string()
    .regex(/^\d{1,3}$/, 'must be 1 to 200')
    .transform(Number)
    .pipe(z.int().min(1).max(200))
    .default(50),
  cursor: z.string().max(200).optional(),
})

/** What is redriven together. Values of metadata may be numbers and booleans here. */
export const redriveFilter = z.strictObject({
  ...filterFields,
  status: z.enum(['failed', 'cancelled']).default('failed'),
  metadata: z
    .record(storableText().max(200), z.union([storableText().max(200), z.number(), z.boolean()]))
    .refine(isFew, tooManyFields)
    .optional(),
  reason: storableText().max(255).optional().describe("Of the job's error"),
  finishedAfter: instant.optional(),
  finishedBefore: instant.optional(),
})

/** Puts parameters like `metadata[field]` together, before the query is validated. */
export async function gatherMetadata(request: FastifyRequest): Promise<void> {
  const parameters = Object.entries(request.query as Record<string, unknown>)
  const fields = parameters.flatMap(([name, value]) => {
    const field = /^metadata\[(.+)\]$/s.exec(name)?.[1]
    return field === undefined ? [] : [[name, field, value] as const]
  })
  if (fields.length === 0) return
  if (parameters.some(([name]) => name === 'metadata'))
    throw badParameter('metadata', 'is written metadata[field]=value')
  if (fields.some(([, field]) => field === '__proto__'))
    throw badParameter('metadata.__proto__', 'no job has such a field')
  const gathered = new Set<string>(fields.map(([name]) => name))
  const metadata = Object.fromEntries(fields.map(([, field, value]) => [field, value]))
  request.query = { ...Object.fromEntries(parameters.filter(([name]) => !gathered.has(name))), metadata }
}

function badParameter(path: string, message: string): Problem {
  return invalid([{ path, message }], 'querystring')
}

interface WrittenFilter extends Omit<
  JobFilter,
  'metadata' | 'createdAfter' | 'createdBefore' | 'finishedAfter' | 'finishedBefore'
> {
  readonly metadata?: Readonly<Record<string, string | number | boolean>> | undefined
  readonly createdAfter?: string | undefined
  readonly createdBefore?: string | undefined
  readonly finishedAfter?: string | undefined
  readonly finishedBefore?: string | undefined
}

/** @returns the filter with its instants read, and its metadata as texts. */
export function filterOf({
  metadata,
  createdAfter,
  createdBefore,
  finishedAfter,
  finishedBefore,
  ...filter
}: WrittenFilter): JobFilter {
  return {
    ...filter,
    metadata: metadata && Object.fromEntries(Object.entries(metadata).map(([field, value]) => [field, String(value)])),
    createdAfter: dateOf(createdAfter),
    createdBefore: dateOf(createdBefore),
    finishedAfter: dateOf(finishedAfter),
    finishedBefore: dateOf(finishedBefore),
  }
}

function dateOf(instant: string | undefined): Date | undefined {
  return instant === undefined ? undefined : new Date(instant)
}
