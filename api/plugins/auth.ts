import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Role as KeyRole } from '@jobyard/db/api-keys'
import { defaultTenant, mayActAs, type Caller } from '../callers/caller.ts'
import type { Callers } from '../callers/callers.ts'
import { notPlatformWide, roleTooLow } from '../callers/refusals.ts'

/** What a caller needs; each role includes those before it. */
export type Role = 'public' | KeyRole

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route. */
    role?: Role
    /** Whether all tenants share what the route changes or opens: then the caller must be of the tenant `default`. */
    platform?: boolean
    /** How callers show who they are: by a Bearer key, or by HTTP Basic to a guard of the route's own scope. */
    authentication?: 'bearer' | 'basic'
  }
  interface FastifyInstance {
    /** What routes of this scope declare when they say nothing themselves: for plugins whose routes we do not write. */
    routeDefaults: FastifyContextConfig
    /** Every route, with what it declares. */
    declaredRoutes: DeclaredRoute[]
  }
  interface FastifyRequest {
    /** Whose data the caller sees. */
    tenant: string
    /** The key that the caller has shown. */
    keyId: string
    /** When the caller was let in, on the monotonic clock in milliseconds. */
    admittedAt: number
  }
}

/** Age of what a caller has shown at which it is looked at again before anything is done, in milliseconds: a body may take its time. */
const lookAgainAfterMs = 100

export interface DeclaredRoute {
  readonly method: string
  readonly url: string
  readonly config: FastifyRequest['routeOptions']['config']
}

/**
 * Lets only those in whose key or token has the role that a route declares.
 *
 * @throws Error at registration when a route declares no role.
 */
export function registerAuth(app: FastifyInstance, callers: Callers): void {
  app.decorateRequest('tenant', '')
  app.decorateRequest('keyId', '')
  app.decorateRequest('admittedAt', 0)
  app.decorate('routeDefaults', {})
  app.decorate('declaredRoutes', [])
  app.addHook('onRoute', function (route) {
    route.config = { ...this.routeDefaults, ...route.config }
    if (!route.config.role) throw new Error(`${String(route.method)} ${route.url} declares no role`)
    for (const method of [route.method].flat())
      app.declaredRoutes.push({ method, url: route.url, config: route.config as DeclaredRoute['config'] })
  })
  app.addHook('onRequest', (request, reply, done) => {
    const { role, authentication } = request.routeOptions.config
    if (request.is404 || role === 'public') return done()
    reply.header('cache-control', 'no-store')
    if (authentication === 'basic') done()
    else letIn(callers, request, done)
  })
  app.addHook('preValidation', (request, _reply, done) => {
    const { role, authentication } = request.routeOptions.config
    if (request.is404 || role === 'public' || authentication === 'basic' || !wasLetInLongAgo(request)) done()
    else letIn(callers, request, done)
  })
}

function letIn(callers: Callers, request: FastifyRequest, done: (error?: Error) => void): void {
  let caller
  try {
    caller = callers.identify(request.headers.authorization, request.url, request.raw.socket)
    if (!(caller instanceof Promise)) admit(request, caller)
  } catch (error) {
    return done(error as Error)
  }
  if (caller instanceof Promise) caller.then((late) => admit(request, late)).then(() => done(), done)
  else done()
}

/** @returns whether the body has taken so long that what the caller has shown may not hold any more. */
export function wasLetInLongAgo({ admittedAt }: FastifyRequest): boolean {
  return performance.now() - admittedAt > lookAgainAfterMs
}

/**
 * Lets a caller in whose role is high enough.
 *
 * @throws Problem `forbidden`.
 */
export function admit(request: FastifyRequest, { tenant, keyId, role }: Caller): void {
  const { role: needed, platform = false } = request.routeOptions.config
  request.tenant = tenant
  request.keyId = keyId
  request.admittedAt = performance.now()
  if (needed === undefined || needed === 'public') return
  if (!mayActAs(role, needed)) throw roleTooLow(role, needed)
  if (platform && tenant !== defaultTenant) throw notPlatformWide(role, tenant)
}
