import type { FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Cursors } from '../cursor.ts'
import type { DeliveryActions } from '../delivery-actions.ts'
import type { EndpointActions } from '../endpoint-actions.ts'
import {
  deliveryWithAttemptsSchema,
  endpointChangesSchema,
  endpointSchema,
  endpointWithSecretSchema,
  newEndpointSchema,
  pageQuery,
  replayAnswerSchema,
  replaySchema,
  rotationSchema,
} from '../endpoint-schemas.ts'
import { ownAddresses } from '../own-address.ts'
import { readAfterChange } from '../plugins/errors.ts'
import { problemSchema } from '../schemas.ts'

export interface EndpointRoutesOptions {
  readonly endpoints: EndpointActions
  readonly deliveries: DeliveryActions
  readonly cursors: Cursors
}

const tags = ['endpoints']
const params = z.object({ id: z.string() })
const problem = problemSchema.describe('application/problem+json')

/** Making endpoints, changing them, and sending to them again. */
export const endpointRoutes: FastifyPluginAsyncZod<EndpointRoutesOptions> = async (app, options) => {
  const { endpoints, deliveries, cursors } = options
  const own = ({ host }: FastifyRequest) => ownAddresses(app.server, host)

  app.post(
    '/v1/endpoints',
    {
      config: { role: 'admin' },
      schema: {
        tags,
        operationId: 'createEndpoint',
        summary: 'Have events sent to a URL',
        description:
          'From now on every event that fits is sent as a POST, signed by the rules of Standard Webhooks with the `secret` of this answer, ' +
          'at least once. A tenant may have 1,000 endpoints. See docs/notifications.md.',
        body: newEndpointSchema,
        response: { 201: endpointWithSecretSchema, 409: problem, 422: problem },
      },
    },
    async (request, reply) => {
      const endpoint = await endpoints.create(request.tenant, request.body, own(request))
      return reply.code(201).header('location', `/v1/endpoints/${endpoint.id}`).send(endpoint)
    },
  )

  app.get(
    '/v1/endpoints',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'listEndpoints',
        summary: 'List endpoints, newest first',
        querystring: pageQuery,
        response: {
          200: z.object({ items: z.array(endpointSchema), nextCursor: z.string().optional() }),
          400: problem,
          422: problem,
        },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const before = cursor === undefined ? undefined : cursors.open(cursor)
      return cursors.page(await endpoints.list(request.tenant, limit + 1, before), limit)
    },
  )

  app.get(
    '/v1/endpoints/:id',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'getEndpoint',
        summary: 'Read an endpoint',
        params,
        response: { 200: endpointSchema, 404: problem },
      },
    },
    async (request) => endpoints.get(request.tenant, request.params.id),
  )

  app.patch(
    '/v1/endpoints/:id',
    {
      config: { role: 'admin' },
      schema: {
        tags,
        operationId: 'changeEndpoint',
        summary: 'Change an endpoint',
        description:
          'What is absent stays. `headers` replaces all of them. Deliveries under way go to the new URL from their next attempt.',
        params,
        body: endpointChangesSchema,
        response: { 200: endpointSchema, 404: problem, 422: problem },
      },
    },
    async (request) => endpoints.change(request.tenant, request.params.id, request.body, own(request)),
  )

  app.delete(
    '/v1/endpoints/:id',
    {
      config: { role: 'admin' },
      schema: {
        tags,
        operationId: 'deleteEndpoint',
        summary: 'Delete an endpoint',
        description: 'Its deliveries that have not ended fail. The log keeps them.',
        params,
        response: { 204: z.null().describe('It is gone'), 404: problem },
      },
    },
    async (request, reply) => {
      await endpoints.remove(request.tenant, request.params.id)
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/v1/endpoints/:id/rotate-secret',
    {
      config: { role: 'admin' },
      schema: {
        tags,
        operationId: 'rotateEndpointSecret',
        summary: 'Give an endpoint a new secret',
        description:
          'Until `previousSecretUntil` each delivery carries the signatures of both. The one before the old one is void at once.',
        params,
        body: rotationSchema.nullish(),
        response: { 200: endpointWithSecretSchema, 404: problem, 422: problem },
      },
    },
    async (request) => {
      const { overlapMs } = request.body ?? rotationSchema.parse({})
      return endpoints.rotate(request.tenant, request.params.id, overlapMs)
    },
  )

  app.post(
    '/v1/endpoints/:id/test',
    {
      config: { role: 'operator' },
      schema: {
        tags,
        operationId: 'testEndpoint',
        summary: 'Send an endpoint a test event',
        description:
          'A signed `endpoint.test`, on the ordinary way: read the delivery to see what was answered. Refused while five are under way.',
        params,
        response: { 202: deliveryWithAttemptsSchema, 404: problem, 409: problem, 429: problem },
      },
    },
    async (request, reply) => {
      const id = await endpoints.test(request.tenant, request.params.id)
      const delivery = await readAfterChange(deliveries.get(request.tenant, id))
      return reply.code(202).header('location', `/v1/deliveries/${id}`).send(delivery)
    },
  )

  for (const [verb, enabled, summary, description] of [
    [
      'enable',
      true,
      'Send to an endpoint again',
      'From now on; what it has missed is for `/replay`. Forgets its failures, so that one which is enabled and paused is tried at once.',
    ],
    [
      'disable',
      false,
      'Send nothing more to an endpoint',
      'Its deliveries that have not ended fail with their next attempt.',
    ],
  ] as const) {
    app.post(
      `/v1/endpoints/:id/${verb}`,
      {
        config: { role: 'admin' },
        schema: {
          tags,
          operationId: `${verb}Endpoint`,
          summary,
          description,
          params,
          response: { 200: endpointSchema, 404: problem },
        },
      },
      async (request) => endpoints.setEnabled(request.tenant, request.params.id, enabled),
    )
  }

  app.post(
    '/v1/endpoints/:id/replay',
    {
      config: { role: 'operator', dryRuns: true },
      schema: {
        tags,
        operationId: 'replayEndpoint',
        summary: 'Send an endpoint again what happened in a time',
        description:
          'Events that fit the endpoint as it is now, at the rate of `perSecond`, beside what is new; their ids are those of the first time. ' +
          'A replay under way is replaced. `dryRun` counts them. What is older than the retention of events is gone.',
        params,
        body: replaySchema,
        response: { 200: replayAnswerSchema, 202: replayAnswerSchema, 404: problem, 409: problem, 422: problem },
      },
    },
    async (request, reply) => {
      const answer = await endpoints.replay(request.tenant, request.params.id, request.body)
      return reply.code(request.body.dryRun ? 200 : 202).send(answer)
    },
  )
}
