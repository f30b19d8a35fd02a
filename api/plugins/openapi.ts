import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'

/** Serves the OpenAPI document and the pages made from it. */
export async function registerOpenApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Jobyard',
        version,
        description:
          'Submit jobs, follow them, and look after queues. A job answered with 2xx is never lost and ends exactly once.',
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
    transform,
  })
  await app.register(async (pages) => {
    pages.decorate('routeDefaults', { role: 'public', servesPages: true })
    await pages.register(helmet, pageHeaders)
    await pages.register(swaggerUi, { routePrefix: '/docs', uiConfig: { persistAuthorization: true } })
  })
  app.get('/openapi.json', { config: { role: 'public' }, schema: { hide: true } }, async () => app.swagger())
}

/** The pages load nothing that is not served here. They may come without TLS, from this machine. */
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
  strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: false },
  xFrameOptions: { action: 'deny' },
}

/** As {@link jsonSchemaTransform}, which does not know bodies of several content types. */
const transform: typeof jsonSchemaTransform = (document) => {
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
