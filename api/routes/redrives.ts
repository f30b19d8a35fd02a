import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Cursors } from '../cursor.ts'
import { filterOf, redriveFilter } from '../job-filter.ts'
import { viewSummary } from '../job-view.ts'
import type { Redrives } from '../redrives.ts'
import { jobSummarySchema, problemSchema } from '../schemas.ts'

const problem = problemSchema.describe('application/problem+json')
const submission = z.strictObject({
  filter: redriveFilter,
  limit: z.int().min(1).max(1_000).default(100),
  dryRun: z.boolean().default(false).describe('Only tells what would be redriven'),
  cursor: z.string().max(200).optional().describe('`nextCursor` of the call before'),
})
const report = z.object({
  matched: z.int().describe('Jobs found by this call, `limit` at most: with a `nextCursor` there may be more'),
  redriven: z.array(z.object({ id: z.string(), as: z.string() })).describe('Each job with the new one'),
  skipped: z
    .array(z.object({ id: z.string(), unfinished: z.string() }))
    .describe('Jobs left alone since the unfinished one has their deduplication key'),
  sample: z.array(jobSummarySchema).optional().describe('With `dryRun`: the newest of what was found'),
  nextCursor: z.string().optional(),
})

/** Redriving many jobs at once. */
export const redriveRoutes: FastifyPluginAsyncZod<{ redrives: Redrives; cursors: Cursors }> = async (
  app,
  { redrives, cursors },
) => {
  app.post(
    '/v1/jobs/redrive',
    {
      config: { role: 'operator', dryRuns: true },
      schema: {
        tags: ['jobs'],
        operationId: 'redriveJobs',
        summary: 'Run many failed or cancelled jobs again, each as a new job',
        description:
          'Takes jobs that fit the filter and were not redriven yet, newest first. Each is redriven once, also if the call is repeated or made twice at a time. A call looks at 10,000 jobs: it may find none and have a `nextCursor` all the same. Deliveries of webhooks are made again by `/v1/deliveries/redeliver`.',
        body: submission,
        response: { 200: report, 202: report, 400: problem, 422: problem },
      },
    },
    async (request, reply) => {
      const { filter, limit, dryRun, cursor } = request.body
      const before = cursor === undefined ? undefined : cursors.open(cursor)
      const wanted = { ...filterOf(filter), before }
      const after = (next: string | undefined) => (next === undefined ? {} : { nextCursor: cursors.seal(next) })
      if (dryRun) {
        const { matched, sample, next } = await redrives.preview(request.tenant, wanted, limit)
        return reply
          .code(200)
          .send({ matched, redriven: [], skipped: [], sample: sample.map(viewSummary), ...after(next) })
      }
      const { next, ...report } = await redrives.redrive(request.tenant, wanted, limit)
      request.auditTarget = `${report.redriven.length} jobs`
      return reply.code(202).send({ ...report, ...after(next) })
    },
  )
}
