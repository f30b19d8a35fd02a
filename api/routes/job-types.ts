import type { Catalogue } from '@jobyard/queues/catalogue'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'

const jobTypeSchema = z.object({
  type: z.string(),
  queue: z.string(),
  description: z.string(),
  input: z.record(z.string(), z.unknown()).describe('JSON Schema'),
  output: z.record(z.string(), z.unknown()).describe('JSON Schema'),
  maxAttempts: z.int(),
  timeoutMs: z.int(),
  batch: z
    .object({ size: z.int(), maxWaitMs: z.int() })
    .optional()
    .describe('Of types whose jobs run together: how many at most, and how long they wait for each other'),
})

/** What can be submitted. */
export const jobTypeRoutes: FastifyPluginAsyncZod<{ catalogue: Catalogue }> = async (app, { catalogue }) => {
  const items = catalogue.contracts
    .filter(({ internal }) => !internal)
    .map(({ type, queue, description, input, output, retry, timeoutMs, batch }) => ({
      type,
      queue,
      description,
      input: z.toJSONSchema(input, { io: 'input' }) as Record<string, unknown>,
      output: z.toJSONSchema(output, { io: 'output' }) as Record<string, unknown>,
      maxAttempts: retry.maxAttempts,
      timeoutMs,
      ...(batch && { batch }),
    }))

  app.get(
    '/v1/job-types',
    {
      config: { role: 'reader', asksRecord: 'never' },
      schema: {
        tags: ['job types'],
        operationId: 'listJobTypes',
        summary: 'List the job types with their JSON Schemas',
        response: { 200: z.object({ items: z.array(jobTypeSchema) }) },
      },
    },
    async () => ({ items }),
  )
}
