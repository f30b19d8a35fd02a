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
    transformObject: (document) => withStyles((document as { openapiObject: OpenApiObject }).openapiObject),
  })
  await app.register(swaggerUi, { routePrefix: '/docs', uiConfig: { persistAuthorization: true } })
  app.get('/openapi.json', { config: { role: 'public' }, schema: { hide: true } }, async () => app.swagger())
}

type OpenApiObject = ReturnType<
  Extract<Parameters<typeof swagger>[1], { transformObject?: unknown }>['transformObject'] & {}
>

interface StyledParameter {
  style?: string
  explode?: boolean
  schema?: { style?: string; explode?: boolean }
}

/** How a parameter is written belongs to it, but can be said in its schema only. */
function withStyles(document: OpenApiObject): OpenApiObject {
  const operations = Object.values(document.paths ?? {}).flatMap((path) => Object.values(path ?? {}))
  for (const { parameters = [] } of operations as { parameters?: StyledParameter[] }[])
    for (const parameter of parameters)
      if (parameter.schema?.style) {
        const { style, explode, ...schema } = parameter.schema
        Object.assign(parameter, { schema, style, explode })
      }
  return document
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
