import { scheduleName } from '@jobyard/queues/schedules/definition'
import type { FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Cursors } from '../cursor.ts'
import type { JobActions } from '../job-actions.ts'
import { readAfterChange } from '../plugins/errors.ts'
import { noSuchSchedule } from '../problem.ts'
import type { ScheduleActions } from '../schedule-actions.ts'
import {
  occurrenceSchema,
  previewBody,
  previewSchema,
  scheduleBody,
  scheduleSchema,
  scheduleSummarySchema,
  schedulesQuery,
} from '../schedule-schemas.ts'
import { jobSchema, problemSchema } from '../schemas.ts'

const tags = ['schedules']
const newName = z.object({ name: scheduleName })
const params = z.object({ name: z.string() })
const problem = problemSchema.describe('application/problem+json')

/** Whether a cursor is one of the listing of schedules, or of that of occurrences. */
const isName = (last: string) => scheduleName.safeParse(last).success
const isPlace = (last: string) => / (true|false)$/.test(last)

export interface ScheduleRoutesOptions {
  readonly schedules: ScheduleActions
  readonly jobs: JobActions
  readonly cursors: Cursors
}

/** Rules by which jobs recur, and what became of their occurrences. */
export const scheduleRoutes: FastifyPluginAsyncZod<ScheduleRoutesOptions> = async (app, options) => {
  const { schedules, jobs, cursors } = options
  app.addHook('preHandler', async ({ params: { name } }: FastifyRequest<{ Params: { name?: string } }>) => {
    if (name !== undefined && !isName(name)) throw noSuchSchedule(name)
  })

  app.put(
    '/v1/schedules/:name',
    {
      config: { role: 'operator' },
      schema: {
        tags,
        operationId: 'putSchedule',
        summary: 'Make a schedule, or change it',
        description:
          'The same again changes nothing. The next firing moves only if the rule is another one. What the contract of the type says is taken ' +
          'over now. Each occurrence is fired once, by a job whose metadata has `schedule` and `occurrence`. See docs/schedules.md.',
        params: newName,
        body: scheduleBody,
        response: { 200: scheduleSchema, 201: scheduleSchema, 409: problem, 422: problem },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const { schedule, isNew } = await schedules.put(request.tenant, name, request.body)
      if (isNew) void reply.code(201).header('location', `/v1/schedules/${name}`)
      return schedule
    },
  )

  app.get(
    '/v1/schedules',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'listSchedules',
        summary: 'List schedules by name, without input and metadata',
        querystring: schedulesQuery,
        response: {
          200: z.object({ items: z.array(scheduleSummarySchema), nextCursor: z.string().optional() }),
          400: problem,
          422: problem,
        },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const after = cursor === undefined ? undefined : cursors.open(cursor, isName)
      const rows = await schedules.list(request.tenant, limit + 1, after)
      const items = rows.slice(0, limit)
      const last = items.at(-1)
      return { items, ...(rows.length > limit && last && { nextCursor: cursors.seal(last.name) }) }
    },
  )

  app.get(
    '/v1/schedules/:name',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'getSchedule',
        summary: 'Read a schedule, with its next occurrences and its last run',
        params,
        response: { 200: scheduleSchema, 404: problem },
      },
    },
    async (request) => schedules.get(request.tenant, request.params.name),
  )

  app.delete(
    '/v1/schedules/:name',
    {
      config: { role: 'operator' },
      schema: {
        tags,
        operationId: 'deleteSchedule',
        summary: 'Delete a schedule',
        description: 'The jobs that it made stay, and run.',
        params,
        response: { 204: z.null(), 404: problem, 409: problem },
      },
    },
    async (request, reply) => {
      await schedules.remove(request.tenant, request.params.name)
      return reply.code(204).send(null)
    },
  )

  for (const [verb, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    app.post(
      `/v1/schedules/:name/${verb}`,
      {
        config: { role: 'operator' },
        schema: {
          tags,
          operationId: `${verb}Schedule`,
          summary: paused ? 'Keep a schedule from firing' : 'Let a schedule fire again',
          description: paused
            ? 'Its last run goes on. What was paused stays paused.'
            : 'It goes on with the next occurrence; those of the pause are not made up for.',
          params,
          response: { 200: scheduleSchema, 404: problem, 409: problem },
        },
      },
      async (request) => schedules.setPaused(request.tenant, request.params.name, paused),
    )
  }

  app.post(
    '/v1/schedules/:name/trigger',
    {
      config: { role: 'operator' },
      schema: {
        tags,
        operationId: 'triggerSchedule',
        summary: 'Run the job of a schedule now',
        description: 'Also while it is paused, and whatever its last run does. The occurrence is marked as manual.',
        params,
        response: { 202: jobSchema, 404: problem },
      },
    },
    async (request, reply) => {
      const id = await schedules.trigger(request.tenant, request.params.name)
      const job = await readAfterChange(jobs.get(request.tenant, id))
      return reply.code(202).header('location', `/v1/jobs/${id}`).send(job)
    },
  )

  app.get(
    '/v1/schedules/:name/occurrences',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'listOccurrences',
        summary: 'List what became of the occurrences of a schedule, the latest first',
        params,
        querystring: schedulesQuery,
        response: {
          200: z.object({ items: z.array(occurrenceSchema), nextCursor: z.string().optional() }),
          400: problem,
          404: problem,
          422: problem,
        },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const before = cursor === undefined ? undefined : cursors.open(cursor, isPlace)
      const { items, next } = await schedules.occurrences(request.tenant, request.params.name, { limit, before })
      return { items, ...(next !== undefined && { nextCursor: cursors.seal(next) }) }
    },
  )

  app.post(
    '/v1/schedules/preview',
    {
      config: { role: 'reader' },
      schema: {
        tags,
        operationId: 'previewSchedule',
        summary: 'Tell when a rule would fire, and what it says in words',
        body: previewBody,
        response: { 200: previewSchema, 422: problem },
      },
    },
    async (request) => schedules.preview(request.body),
  )
}
