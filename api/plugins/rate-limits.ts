import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { RateLimits } from '../limits/rate-limits.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Requests that the route itself charges, instead of being charged for one when they come. */
    chargesItself?: (request: FastifyRequest) => boolean
  }
}

/**
 * Charges every request for one, except on public routes and behind a guard of their own, and tells the caller how it stands. To be
 * registered after what lets callers in: before their body is read.
 */
export function registerRateLimits(app: FastifyInstance, limits: RateLimits): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { role, authentication, chargesItself } = request.routeOptions.config
    if (request.is404 || role === 'public' || authentication === 'basic' || chargesItself?.(request)) return done()
    const standing = limits.tryCharging(request, 1)
    if (standing === undefined) charge(limits, request, reply, 1).then(() => done(), done)
    else {
      tellStanding(limits, reply, standing)
      done()
    }
  })
  app.addHook('onClose', async () => limits.close())
}

/**
 * Charges a request for so many, and tells the caller how it stands then.
 *
 * @param paid what it was charged for before.
 * @throws Problem `rate-limited`.
 */
export async function charge(
  limits: RateLimits,
  request: FastifyRequest,
  reply: FastifyReply,
  tokens: number,
  paid = 0,
): Promise<void> {
  try {
    await limits.charge(request, tokens, paid)
  } finally {
    tellStanding(limits, reply, limits.standingOf(request))
  }
}

function tellStanding(limits: RateLimits, reply: FastifyReply, standing: string): void {
  reply.header('ratelimit-policy', limits.policy)
  reply.header('ratelimit', standing)
}
