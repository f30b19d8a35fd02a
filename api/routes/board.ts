import type { Database } from '@jobyard/db/connect'
import type { Catalogue } from '@jobyard/queues/catalogue'
import type { FastifyInstance } from 'fastify'
import { boardGuard } from '../board/guard.ts'
import { dressPage, pageHeaders } from '../board/page.ts'
import { createBoard } from '../board/server.ts'
import { readMessages } from '../board/wording.ts'
import { defaultTenant } from '../callers/caller.ts'
import type { Callers } from '../callers/callers.ts'
import type { JobActions } from '../job-actions.ts'
import { wasLetInLongAgo } from '../plugins/auth.ts'
import { sendProblem } from '../plugins/errors.ts'
import { Problem } from '../problem.ts'
import type { ScheduleActions } from '../schedule-actions.ts'

export interface BoardRoutesOptions {
  readonly sql: Database['sql']
  readonly actions: JobActions
  readonly schedules: ScheduleActions
  readonly catalogue: Catalogue
  /** Lets callers in. */
  readonly callers: Pick<Callers, 'whoShows'>
}

const basePath = '/board'

/** Bull Board, showing the record: its pages, its files and its calls, all behind HTTP Basic. */
export async function boardRoutes(app: FastifyInstance, options: BoardRoutesOptions): Promise<void> {
  const board = createBoard({ ...options, tenant: defaultTenant, log: app.log }, basePath)
  await app.register(
    async (scope) => {
      scope.decorate('routeDefaults', { role: 'admin', platform: true, authentication: 'basic' })
      scope.addHook('onRoute', (route) => {
        if (!route.url.startsWith(`${basePath}/api/`)) route.config = { ...route.config, asksRecord: 'never' }
      })
      const guard = boardGuard((key) => options.callers.whoShows(key))
      scope.addHook('onRequest', guard)
      scope.addHook('preValidation', async (request, reply) =>
        wasLetInLongAgo(request) ? guard(request, reply) : undefined,
      )
      scope.addHook('onSend', async (_request, reply, payload) => {
        reply.headers(pageHeaders)
        return dressPage(reply.getHeader('content-type'), payload)
      })
      scope.setNotFoundHandler((_request, reply) => sendProblem(reply, notFound()))
      scope.get<{ Params: { language: string } }>(
        '/static/locales/:language/messages.json',
        { schema: { hide: true } },
        async (request, reply) => {
          const messages = await readMessages(request.params.language)
          return messages === undefined ? sendProblem(reply, notFound()) : reply.type('application/json').send(messages)
        },
      )
      await scope.register(board.registerPlugin())
    },
    { prefix: basePath },
  )
}

function notFound(): Problem {
  return new Problem('not-found', `There is nothing here. The board begins at ${basePath}.`)
}
