import { isId } from '@jobyard/db/ids'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Cursors } from '../cursor.ts'
import type { DeliveryActions } from '../delivery-actions.ts'
import {
  deliveriesQuery,
  deliverySchema,
  deliveryWithAttemptsSchema,
  redeliveryAnswerSchema,
  redeliverySchema,
} from '../endpoint-schemas.ts'
import { readAfterChange } from '../plugins/errors.ts'
import { problemSchema } from '../schemas.ts'

const tags = ['deliveries']
const params = z.object({ id: z.string() })
const problem = problemSchema.describe('application/problem+json')

/** What a call did with the deliveries that it passed: one that makes them again must not go on after one that has only counted them. */
function deedOf(dryRun: boolean): string {
  return dryRun ? 'counted' : 'made'
}

function placeOf(text: string) {
  const [deed, dueAt, before = ''] = text.split('/')
  return { deed, dueAt: Number(dueAt), before }
}

/** Reading the log of deliveries, and making them again. */
export const deliveryRoutes: FastifyPluginAsyncZod<{ deliveries: DeliveryActions; cursors: Cursors }> = async (
  app,
  { deliveries, cursors },
) => {
  app.get(
    '/v1/deliveries',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'listDeliveries',
        summary: 'List deliveries, newest first',
        description:
          'A page looks at 10,000 deliveries. Where few of those fit it has fewer items than `limit`, or none, and a `nextCursor` all the same: only a page without one is the last.',
        querystring: deliveriesQuery,
        response: {
          200: z.object({ items: z.array(deliverySchema), nextCursor: z.string().optional() }),
          400: problem,
          422: problem,
        },
      },
    },
    async (request) => {
      const { limit, cursor, ...filter } = request.query
      const before = cursor === undefined ? undefined : cursors.open(cursor)
      const { items, next } = await deliveries.list(request.tenant, { ...filter, before }, limit)
      return { items, ...(next !== undefined && { nextCursor: cursors.seal(next) }) }
    },
  )

  app.get(
    '/v1/deliveries/:id',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'getDelivery',
        summary: 'Read a delivery with its attempts',
        params,
        response: { 200: deliveryWithAttemptsSchema, 404: problem },
      },
    },
    async (request) => deliveries.get(request.tenant, request.params.id),
  )

  app.post(
    '/v1/deliveries/:id/redeliver',
    {
      config: { role: 'operator' },
      schema: {
        tags,
        operationId: 'redeliver',
        summary: 'Make a delivery again, whatever became of it',
        description: 'A new delivery with the same event, id and body.',
        params,
        response: { 202: deliveryWithAttemptsSchema, 404: problem, 409: problem },
      },
    },
    async (request, reply) => {
      const id = await deliveries.redeliver(request.tenant, request.params.id)
      const delivery = await readAfterChange(deliveries.get(request.tenant, id))
      return reply.code(202).header('location', `/v1/deliveries/${id}`).send(delivery)
    },
  )

  app.post(
    '/v1/deliveries/redeliver',
    {
      config: { role: 'operator', dryRuns: true },
      schema: {
        tags,
        operationId: 'redeliverMany',
        summary: 'Make many deliveries again',
        description:
          'About 5,000 that fit, newest first, spread over time by `perSecond`. `dryRun` counts them. Those that were made again since are left ' +
          'out, and those of endpoints that are disabled. With `nextCursor` the next call goes on where this one ended, in time as well; that of a dry run is for dry runs.',
        body: redeliverySchema,
        response: { 200: redeliveryAnswerSchema, 202: redeliveryAnswerSchema, 400: problem, 422: problem },
      },
    },
    async (request, reply) => {
      const { cursor, ...wanted } = request.body
      const deed = deedOf(wanted.dryRun)
      const isPlace = (text: string) => isId(placeOf(text).before) && placeOf(text).deed === deed
      const place = cursor === undefined ? undefined : placeOf(cursors.open(cursor, isPlace))
      const { deliveries: made, next } = await deliveries.redeliverMany(request.tenant, wanted, place)
      request.auditTarget = `${made} deliveries`
      const nextCursor = next && cursors.seal(`${deed}/${next.dueAt}/${next.before}`)
      return reply.code(wanted.dryRun ? 200 : 202).send({ deliveries: made, ...(nextCursor && { nextCursor }) })
    },
  )
}
