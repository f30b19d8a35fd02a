import type { Database } from '@jobyard/db/connect'
import type { Carrier } from '@jobyard/queues/carrier'
import type { Circuit } from '@jobyard/queues/circuit'
import { withDeadline } from '@jobyard/queues/deadline'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'

/** Time each dependency has to answer a health check, in milliseconds. */
const deadlineMs = 1_000

export interface HealthOptions {
  readonly sql: Database['sql']
  /** Whether Postgres answers. */
  readonly circuit: Circuit
  readonly carrier: Carrier
  /** Whether tickets arrive. */
  readonly tickets: Pick<TicketSender, 'healthy'>
  /** False while the process is draining. */
  readonly accepting: () => boolean
}

const readySchema = z.object({
  status: z.enum(['ready', 'degraded', 'draining', 'unavailable']),
  postgres: z.enum(['up', 'down']),
  carrier: z.enum(['up', 'down']),
})

/** Whether the process lives, and whether it should get traffic. */
export const healthRoutes: FastifyPluginAsyncZod<HealthOptions> = async (app, options) => {
  const { sql, circuit, carrier, tickets, accepting } = options
  const askPostgres = async () => (circuit.isOpen ? 'down' : isUp(sql`select 1`))

  app.get(
    '/livez',
    {
      config: { role: 'public' },
      schema: {
        tags: ['health'],
        operationId: 'live',
        summary: 'The process is up',
        response: { 200: z.object({ status: z.literal('up') }) },
      },
    },
    async () => ({ status: 'up' as const }),
  )

  app.get(
    '/readyz',
    {
      config: { role: 'public' },
      schema: {
        tags: ['health'],
        operationId: 'ready',
        summary: 'The process may take traffic',
        description:
          'Degraded: the carrier does not answer, or takes no tickets; jobs are accepted all the same, and start when it is well.',
        response: { 200: readySchema, 503: readySchema },
      },
    },
    async (_request, reply) => {
      const [postgres, pinged] = await Promise.all([askPostgres(), isUp(carrier.ping())])
      const carries = tickets.healthy ? pinged : 'down'
      const up = accepting() && postgres === 'up'
      const status = !accepting()
        ? 'draining'
        : postgres === 'down'
          ? 'unavailable'
          : carries === 'up'
            ? 'ready'
            : 'degraded'
      return reply.code(up ? 200 : 503).send({ status, postgres, carrier: carries })
    },
  )
}

async function isUp(answer: PromiseLike<unknown>): Promise<'up' | 'down'> {
  return withDeadline(Promise.resolve(answer), deadlineMs, 'A health check').then(
    () => 'up' as const,
    () => 'down' as const,
  )
}
