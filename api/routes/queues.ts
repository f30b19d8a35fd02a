import type { Database } from '@jobyard/db/connect'
import { countQueues, type QueueCounts } from '@jobyard/db/queue-rows'
import { storableText } from '@jobyard/queues/job-terms'
import type { FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { JobActions } from '../job-actions.ts'
import { readAfterChange } from '../plugins/errors.ts'
import { noSuchQueue } from '../problem.ts'
import { problemSchema, queueSchema } from '../schemas.ts'

const tags = ['queues']
const params = z.object({ name: z.string() })
const nameable = storableText().max(255)

/** Reading queues, and pausing them. */
export const queueRoutes: FastifyPluginAsyncZod<{ sql: Database['sql']; actions: JobActions }> = async (
  app,
  { sql, actions },
) => {
  app.addHook('preHandler', async ({ params: { name } }: FastifyRequest<{ Params: { name?: string } }>) => {
    if (name !== undefined && !nameable.safeParse(name).success) throw noSuchQueue(name)
  })
  const read = async (name: string) => {
    const [queue] = await countQueues(sql, name)
    if (!queue) throw noSuchQueue(name)
    return viewQueue(queue)
  }

  app.get(
    '/v1/queues',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'listQueues',
        summary: 'List the queues with their counts',
        description: 'Counts stop at 10,000.',
        response: { 200: z.object({ items: z.array(queueSchema) }) },
      },
    },
    async () => ({ items: (await countQueues(sql)).map(viewQueue) }),
  )

  app.get(
    '/v1/queues/:name',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'getQueue',
        summary: 'Read a queue',
        params,
        response: { 200: queueSchema, 404: problemSchema },
      },
    },
    async (request) => read(request.params.name),
  )

  for (const [verb, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    app.post(
      `/v1/queues/:name/${verb}`,
      {
        config: { role: 'admin', platform: true },
        schema: {
          tags,
          operationId: `${verb}Queue`,
          summary: paused ? 'Stop starting jobs of a queue' : 'Start jobs of a queue again',
          description: 'All tenants share the queues, so this takes an admin of the tenant `default`.',
          params,
          response: { 200: queueSchema, 404: problemSchema },
        },
      },
      async (request) => {
        await actions.setPaused(request.params.name, paused)
        return readAfterChange(read(request.params.name))
      },
    )
  }
}

function viewQueue({ name, paused, oldestReadyMs, ...counts }: QueueCounts) {
  return { name, paused, counts, oldestReadyMs: oldestReadyMs === null ? null : Math.round(oldestReadyMs) }
}
