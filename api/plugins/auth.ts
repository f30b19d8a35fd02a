import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Problem } from '../problem.ts'

/** What a caller may do; each role includes those before it. */
export type Role = 'public' | 'reader' | 'submitter' | 'operator' | 'admin'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route. */
    role?: Role
    /** How callers show who they are: by a Bearer key, or by HTTP Basic to a guard of the route's own scope. */
    authentication?: 'bearer' | 'basic'
  }
  interface FastifyInstance {
    /** What routes of this scope declare when they say nothing themselves: for plugins whose routes we do not write. */
    routeDefaults: FastifyContextConfig
  }
  interface FastifyRequest {
    /** Whose data the caller sees. */
    tenant: string
    /** The key that the caller has shown. */
    keyId: string
  }
}

/** Tenant of the admin key. */
export const defaultTenant = 'default'
const adminKeyId = 'admin'

/**
 * Lets only those in who present the admin key, except on public routes.
 *
 * @throws Error at registration when a route declares no role.
 */
export function registerAuth(app: FastifyInstance, adminKey: string): void {
  const isAdminKey = keyMatcher(adminKey)
  app.decorateRequest('tenant', defaultTenant)
  app.decorateRequest('keyId', adminKeyId)
  app.decorate('routeDefaults', {})
  app.addHook('onRoute', function (route) {
    route.config = { ...this.routeDefaults, ...route.config }
    if (route.url.startsWith('/docs')) route.config = { ...route.config, role: 'public' }
    if (!route.config?.role) throw new Error(`${String(route.method)} ${route.url} declares no role`)
  })
  app.addHook('onRequest', async (request) => {
    const { role, authentication } = request.routeOptions.config
    if (request.is404 || role === 'public' || authentication === 'basic') return
    if (!isAdminKey(bearerOf(request))) throw unauthenticated()
  })
}

/** @returns a test of a presented key in constant time. */
export function keyMatcher(key: string): (presented: string) => boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const expected = digest(key)
  return (presented) => timingSafeEqual(digest(presented), expected)
}

function bearerOf(request: FastifyRequest): string {
  return /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
}

function unauthenticated(): Problem {
  return new Problem(
    'unauthenticated',
    'Send `Authorization: Bearer <key>`. The first admin key stands in JOBYARD_HOME/admin-key.',
    {
      headers: { 'www-authenticate': 'Bearer realm="jobyard"' },
    },
  )
}
