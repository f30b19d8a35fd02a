import { isAway } from '@jobyard/db/trouble'
import type { Circuit } from '@jobyard/queues/circuit'
import { DeadlineError, withDeadline } from '@jobyard/queues/deadline'
import { RecordAwayError } from '@jobyard/queues/errors'
import type { FastifyInstance, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route asks the record: unless it says otherwise it does if it is not public, and is answered within the common deadline. */
    asksRecord?: 'within bounds of its own' | 'never'
  }
}

/** Time that a request may take, in milliseconds: above the time-out of statements. */
const defaultDeadlineMs = 15_000

export interface RecordBoundsOptions {
  /** Whether Postgres answers. Doubted by a request that got no answer. */
  readonly circuit: Circuit
  readonly deadlineMs?: number | undefined
}

/**
 * Bounds the time of every route that asks the record: while Postgres is known not to answer a request is refused before its body is
 * read, and one that is under way is given up at the deadline. To be registered before the routes, and after what lets callers in.
 */
export function boundRecordRoutes(app: FastifyInstance, options: RecordBoundsOptions): void {
  const { circuit } = options
  const bounded = withinRecordBounds(options)
  app.addHook('onRequest', (request, _reply, done) =>
    done(circuit.isOpen && asksRecord(request) ? new RecordAwayError('Postgres does not answer') : undefined),
  )
  app.addHook('onRoute', (route) => {
    const { handler } = route
    let isBound: boolean | undefined
    route.handler = function (request, reply) {
      const answer = () => handler.call(this, request, reply)
      isBound ??= isBoundHere(request)
      return isBound ? bounded(answer) : answer()
    }
  })
}

/** @returns what gives an answer up at the deadline, and lets the circuit know of one that did not come. */
export function withinRecordBounds({ circuit, deadlineMs = defaultDeadlineMs }: RecordBoundsOptions) {
  return async <Answer>(answer: () => Answer | Promise<Answer>): Promise<Answer> => {
    try {
      return await withDeadline(Promise.resolve(answer()), deadlineMs, 'The request')
    } catch (error) {
      if (error instanceof DeadlineError || isAway(error)) circuit.doubt()
      throw error
    }
  }
}

function asksRecord({ is404, routeOptions }: FastifyRequest): boolean {
  return !is404 && routeOptions.config.role !== 'public' && routeOptions.config.asksRecord !== 'never'
}

function isBoundHere(request: FastifyRequest): boolean {
  return asksRecord(request) && request.routeOptions.config.asksRecord === undefined
}
