import type { FastifyInstance, FastifyRequest } from 'fastify'
import Router, { type HTTPMethod } from 'find-my-way'
import { Problem } from '../problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Methods that a path has, in the order in which they are declared. */
    methodsAt: (path: string) => string[]
  }
}

/** Remembers which methods each path has. To be registered before the routes. */
export function rememberMethods(app: FastifyInstance): void {
  const router = Router()
  const known = new Set<string>()
  app.addHook('onRoute', ({ method, url }) => {
    if (url === '*') return // that of @fastify/cors, which is everywhere
    for (const each of [method].flat()) {
      known.add(each)
      if (!router.hasRoute(each as HTTPMethod, url)) router.on(each as HTTPMethod, url, () => {})
    }
  })
  app.decorate('methodsAt', (path) => [...known].filter((method) => router.find(method as HTTPMethod, path) !== null))
}

/** @returns what a request is answered with that no route takes: 405 where others have its path, else 404. */
export function unroutable(app: FastifyInstance, { method, url }: FastifyRequest): Problem {
  const methods = app.methodsAt(url)
  if (methods.length === 0)
    return new Problem('not-found', `There is nothing at ${method} ${url.slice(0, 200)}. See /docs.`)
  const allow = methods.join(', ')
  return new Problem('method-not-allowed', `${method} does nothing here. Send ${allow}; see /docs.`, {
    headers: { allow },
  })
}
