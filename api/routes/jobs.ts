import type { Sql } from '@jobyard/db/connect'
import { listJobs } from '@jobyard/db/search'
import { isTerminal } from '@jobyard/db/statuses'
import { withDeadline } from '@jobyard/queues/deadline'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod, ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Callers } from '../callers/callers.ts'
import type { Cursors } from '../cursor.ts'
import type { FinishedJobs } from '../finished-jobs.ts'
import type { Accepted, JobActions } from '../job-actions.ts'
import { viewSummary, type JobView } from '../job-view.ts'
import { admit } from '../plugins/auth.ts'
import { answerConditionally } from '../plugins/etag.ts'
import { problemOf, readAfterChange } from '../plugins/errors.ts'
import { filterOf, gatherMetadata, listQuery } from '../job-filter.ts'
import { preferredWaitMs } from '../prefer.ts'
import { Problem } from '../problem.ts'
import { idempotencyKeySchema, jobSchema, jobSummarySchema, problemSchema, submissionSchema } from '../schemas.ts'

export interface JobRoutesOptions {
  readonly actions: JobActions
  readonly finished: FinishedJobs
  /** Pool of listings. */
  readonly listings: Sql
  readonly cursors: Cursors
  /** Tells whether the key of who has waited for a job still holds. */
  readonly callers: Pick<Callers, 'identify'>
}

/** Time that reading a job which somebody waited for may take, in milliseconds. */
const readWithinMs = 3_000

const tags = ['jobs']
const idParams = z.object({ id: z.string() })
const problem = problemSchema.describe('application/problem+json')

/** Submitting, reading and steering jobs. */
export const jobRoutes: FastifyPluginAsyncZod<JobRoutesOptions> = async (
  app,
  { actions, finished, listings, cursors, callers },
) => {
  app.post(
    '/v1/jobs',
    {
      config: { role: 'submitter', asksRecord: 'within bounds of its own' },
      schema: {
        tags,
        operationId: 'submitJob',
        summary: 'Submit a job',
        description:
          'Honours `Idempotency-Key`, and `Prefer: wait=20` to get the finished job in the same answer. Where an unfinished job of the type has the `deduplicationKey`, the answer is that job, with the header `Jobyard-Deduplicated: true`.',
        body: submissionSchema,
        response: { 200: jobSchema, 202: jobSchema, 422: problem, 429: problem, 503: problem },
      },
    },
    async (request, reply) => {
      const key = idempotencyKeyOf(request.headers['idempotency-key'])
      const accepted = await actions.submit(request.tenant, request.body, key)
      return answerAccepted(request, reply, accepted, preferredWaitMs(request.headers.prefer))
    },
  )

  app.get(
    '/v1/jobs',
    {
      config: { role: 'reader' },
      preValidation: gatherMetadata,
      schema: {
        tags,
        operationId: 'listJobs',
        summary: 'List jobs, newest first',
        description:
          'A page looks at 10,000 jobs. Where few of those fit it has fewer items than `limit`, or none, and a `nextCursor` all the same: only a page without one is the last. Internal types are listed only where `type` names them.',
        querystring: listQuery,
        response: {
          200: z.object({ items: z.array(jobSummarySchema), nextCursor: z.string().optional() }),
          400: problem,
          422: problem,
        },
      },
    },
    async (request) => {
      const { limit, cursor, ...filter } = request.query
      const before = cursor === undefined ? undefined : cursors.open(cursor)
      const { jobs, next } = await listJobs(listings, request.tenant, { ...filterOf(filter), before }, limit)
      return { items: jobs.map(viewSummary), ...(next !== undefined && { nextCursor: cursors.seal(next) }) }
    },
  )

  await app.register(async (reads) => {
    answerConditionally(reads)
    reads.withTypeProvider<ZodTypeProvider>().get(
      '/v1/jobs/:id',
      {
        config: { role: 'reader' },
        schema: {
          tags,
          operationId: 'getJob',
          summary: 'Read a job',
          description: 'Answers 304 without a body where `If-None-Match` holds the `ETag` of the answer before.',
          params: idParams,
          response: { 200: jobSchema, 304: z.undefined().describe('It has not changed'), 404: problem },
        },
      },
      async (request) => actions.get(request.tenant, request.params.id),
    )
  })

  app.post(
    '/v1/jobs/:id/cancel',
    {
      config: { role: 'operator' },
      schema: {
        tags,
        operationId: 'cancelJob',
        summary: 'Cancel a job',
        description: '200: it is cancelled. 202: it is running, and its worker was asked to abort it.',
        params: idParams,
        response: { 200: jobSchema, 202: jobSchema, 404: problem, 409: problem },
      },
    },
    async (request, reply) => {
      const status = await actions.cancel(request.tenant, request.params.id)
      const job = await readAfterChange(actions.get(request.tenant, request.params.id))
      return reply.code(status === 'running' ? 202 : 200).send(job)
    },
  )

  app.post(
    '/v1/jobs/:id/redrive',
    {
      config: { role: 'operator' },
      schema: {
        tags,
        operationId: 'redriveJob',
        summary: 'Run a failed or cancelled job again, as a new job',
        description:
          'Each time, or once for each `Idempotency-Key`. Refused with 409 while another job has the deduplication key of this one.',
        params: idParams,
        response: { 202: jobSchema, 404: problem, 409: problem, 422: problem },
      },
    },
    async (request, reply) => {
      const key = idempotencyKeyOf(request.headers['idempotency-key'])
      return answerAccepted(request, reply, await actions.redrive(request.tenant, request.params.id, key), 0)
    },
  )

  async function answerAccepted(
    request: FastifyRequest,
    reply: FastifyReply,
    { job, replayed, deduplicated }: Accepted,
    waitMs: number,
  ): Promise<JobView> {
    reply.header('location', `/v1/jobs/${job.id}`)
    if (replayed) reply.header('idempotency-replayed', 'true')
    if (deduplicated) reply.header('jobyard-deduplicated', 'true')
    const isNew = !replayed && !deduplicated
    if (waitMs > 0 && (isNew || (await readAgain(request.tenant, job)) !== job)) {
      await finished.wait(job.id, waitMs)
      const now = (await mayStillRead(request)) ? await readAgain(request.tenant, job) : job
      reply.code(isTerminal(now.status) ? 200 : 202)
      return now
    }
    reply.code(202)
    return job
  }

  async function mayStillRead(request: FastifyRequest): Promise<boolean> {
    try {
      admit(request, await callers.identify(request.headers.authorization, request.url))
      return true
    } catch {
      return false
    }
  }

  /** @returns the job as it is now, or as it was accepted when that cannot be read: it is durable all the same, or was deleted. */
  async function readAgain(tenant: string, accepted: JobView): Promise<JobView> {
    try {
      return await withDeadline(actions.get(tenant, accepted.id), readWithinMs, 'Reading a job again')
    } catch (error) {
      if (!['unavailable', 'not-found'].includes(problemOf(error).kind)) throw error
      return accepted
    }
  }
}

function idempotencyKeyOf(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined
  const parsed = idempotencyKeySchema.safeParse(header)
  if (parsed.success) return parsed.data
  throw new Problem('bad-request', 'Idempotency-Key must be 1 to 255 printable ASCII characters.')
}
