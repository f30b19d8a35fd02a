import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { completeDocument } from '../openapi/complete.ts'
import type { Document } from '../openapi/document.ts'
import type { Role } from './auth.ts'

/** What the groups of calls are about, in the order in which people meet them. */
const tags = [
  { name: 'jobs', description: 'Submitting jobs, reading them, and steering them' },
  { name: 'job types', description: 'What can be submitted' },
  { name: 'events', description: 'Following what happens while it happens' },
  { name: 'schedules', description: 'Jobs that recur' },
  { name: 'endpoints', description: 'Who is told of events by webhooks' },
  { name: 'deliveries', description: 'What was sent to endpoints, and what they answered' },
  { name: 'queues', description: 'How queues stand, and pausing them' },
  { name: 'api keys', description: 'Who may call' },
  { name: 'audit log', description: 'What operators and admins have asked for' },
  { name: 'health', description: 'For load balancers and monitors' },
]

const description = `Submit jobs, follow them, and look after queues. A job answered with 2xx is never lost and ends exactly once.

Errors are \`application/problem+json\` (RFC 9457): \`type\` ends in a name that stays the same, \`detail\` says how to mend it. A path with
another method than those listed is answered 405 with \`Allow\`.`

/** Serves the OpenAPI document and the pages made from it. */
export async function registerOpenApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Jobyard', version, description, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/', description: 'Where this document comes from' }],
      tags,
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer', description: 'An API key. The first is in JOBYARD_HOME/admin-key.' },
          board: {
            type: 'http',
            scheme: 'basic',
            description: 'Of /board: any user, and an admin key as the password',
          },
        },
      },
      security: [{ key: [] }],
    },
    transform,
    transformObject: (document) =>
      completeDocument(jsonSchemaTransformObject(document) as unknown as Document) as object,
  })
  await app.register(async (pages) => {
    pages.decorate('routeDefaults', { role: 'public', servesPages: true })
    await pages.register(helmet, pageHeaders)
    await pages.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: { persistAuthorization: true },
      theme: { title: 'Jobyard API', css: [{ filename: 'plain.css', content: '.topbar { display: none }' }] },
    })
  })
  app.get('/openapi.json', { config: { role: 'public' }, schema: { hide: true } }, async () => app.swagger())
}

/** The pages load nothing that is not served here. What every answer carries is not added again. */
const pageHeaders: FastifyHelmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", 'data:'],
      objectSrc: ["'none'"],
      baseUri: ["'self'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  strictTransportSecurity: false,
  xFrameOptions: { action: 'deny' },
}

/** As {@link describeRoute}, with the role that a caller needs. */
const transform: typeof jsonSchemaTransform = (document) => {
  const { schema, url } = describeRoute(document)
  const { role } = (document as unknown as { route: { config?: { role?: Role } } }).route.config ?? {}
  if (role === 'public') return { schema: { ...schema, security: [] }, url }
  const { description: told = '' } = schema as { description?: string }
  return { schema: { ...schema, description: `${told}\n\nRole: ${role}.`.trim() }, url }
}

/** As {@link jsonSchemaTransform}, which does not know bodies of several content types. */
const describeRoute: typeof jsonSchemaTransform = (document) => {
  const content = contentOf(document.schema?.body)
  if (!content) return jsonSchemaTransform(document)
  const { schema, url } = jsonSchemaTransform({ ...document, schema: { ...document.schema, body: undefined } })
  const bodies = Object.entries(content).map(([type, { schema: body }]) => {
    return [type, { schema: jsonSchemaTransform({ ...document, schema: { body } }).schema.body }]
  })
  return { schema: { ...schema, body: { content: Object.fromEntries(bodies) } }, url }
}

function contentOf(body: unknown): Record<string, { schema: unknown }> | undefined {
  return (body as { content?: Record<string, { schema: unknown }> } | undefined)?.content
}
