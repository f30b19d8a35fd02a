import cors from '@fastify/cors'
import type { FastifyInstance, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route serves pages for browsers, which come with headers of their own. */
    servesPages?: boolean
  }
}

/**
 * What every answer of the API carries, as the OWASP REST Security Cheat Sheet has it. Helmet, which makes those of the pages, puts
 * together its list anew for each request, and sends what only pages need; `X-Frame-Options` is told by `frame-ancestors`.
 */
const headers = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
} as const
/** Only what came encrypted may be answered with it (RFC 6797, 7.2). */
const alwaysEncrypted = 'max-age=31536000'

/** Time for which a browser need not ask again what it may send, in seconds. */
const preflightMaxAgeS = 600

/** Adds the headers of every answer. @param corsOrigins sites whose pages may call the API; none when empty. */
export async function registerHeaders(app: FastifyInstance, corsOrigins: readonly string[]): Promise<void> {
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.servesPages !== true) reply.headers(headers)
    if (request.protocol === 'https') reply.header('strict-transport-security', alwaysEncrypted)
    done()
  })
  if (corsOrigins.length === 0) return
  app.addHook('onRequest', (request, reply, done) => {
    if (request.method !== 'OPTIONS' || isPreflight(request)) done()
    else reply.callNotFound()
  })
  await app.register(cors, {
    origin: [...corsOrigins],
    credentials: false,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'idempotency-key', 'if-none-match', 'last-event-id', 'prefer'],
    exposedHeaders: [
      'etag',
      'idempotency-replayed',
      'jobyard-deduplicated',
      'location',
      'ratelimit',
      'ratelimit-policy',
      'retry-after',
    ],
    maxAge: preflightMaxAgeS,
  })
}

/** Whether a browser asks what a page of another site may send. Other requests with OPTIONS ask what a path takes, which needs no CORS. */
function isPreflight({ headers: { origin, ...others } }: FastifyRequest): boolean {
  return origin !== undefined && others['access-control-request-method'] !== undefined
}
