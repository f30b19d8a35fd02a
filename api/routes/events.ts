import type { OutgoingHttpHeaders } from 'node:http'
import websocket, { type WebSocket } from '@fastify/websocket'
import type { Sql } from '@jobyard/db/connect'
import { platformEvents, usualEvents } from '@jobyard/db/subscription'
import { optInEvents } from '@jobyard/db/telling'
import { storableText } from '@jobyard/queues/job-terms'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Callers } from '../callers/callers.ts'
import { eventTypes } from '../endpoint-schemas.ts'
import type { withinRecordBounds } from '../plugins/record-bounds.ts'
import { problemSchema } from '../schemas.ts'
import type { EventStreams, OpenedStream } from '../streams/event-streams.ts'
import type { StreamFilter } from '../streams/filter.ts'
import { findBeginning } from '../streams/open-stream.ts'
import { serverSentEvents, webSocketMessages } from '../streams/sink.ts'
import { asksForWebSocket } from '../streams/upgrades.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What the request may follow; null when nothing will follow, or it asks for no stream. */
    openedStream: OpenedStream | null
  }
}

export interface EventRoutesOptions {
  readonly sql: Sql
  readonly streams: EventStreams
  /** Tells when the key of a reader holds no longer. */
  readonly callers: Pick<Callers, 'watch'>
  /** Bounds the time in which a stream is opened. */
  readonly bounded: ReturnType<typeof withinRecordBounds>
}

/** Bytes of a message that a client may send over a WebSocket, where it has nothing to say. */
const maxPayload = 1_024

const tags = ['events']
const problem = problemSchema.describe('application/problem+json')
const texts = z.union([z.string(), z.array(z.string())])

const streamQuery = z.strictObject({
  type: texts
    .transform((value) => [value].flat().flatMap((text) => text.split(',')))
    .pipe(z.array(z.enum(eventTypes)))
    .optional()
    .describe(
      `Events of these types, repeated or separated by commas: ${eventTypes.join(', ')}. All but ${optInEvents.join(', ')} when absent: ` +
        'those are written only while somebody names them, which begins a moment later',
    ),
  jobType: texts
    .transform((value) => [value].flat().flatMap((text) => text.split(',')))
    .pipe(z.array(storableText().min(1).max(255)).max(50))
    .optional()
    .describe('Only events of jobs of these types, repeated or separated by commas'),
  tag: texts
    .transform((value) => [value].flat())
    .pipe(z.array(storableText().min(1).max(64)).max(20))
    .optional()
    .describe('Only events of jobs that have one of these tags; repeat it for several'),
  lastEventId: z
    .string()
    .max(100)
    .optional()
    .describe('For those who cannot set the header `Last-Event-ID`, which counts more'),
})
const lastEventIdHeader = z.object({
  'last-event-id': z.string().optional().describe('`id` of the last message: the stream resumes after it'),
})
const messages = {
  description: 'Messages with `id`, `event` and `data`, until one of both ends it',
  content: {
    'text/event-stream': {
      schema: z.string().meta({
        examples: [
          'id: 17\nevent: job.completed\ndata: {"type":"job.completed","version":1,"timestamp":"2026-01-01T00:00:00.000Z","data":{"id":"…","type":"echo","status":"completed"}}\n\n',
        ],
      }),
    },
  },
}
const howItWorks =
  '`id` is the position in the stream, `event` the type, `data` what a webhook would have as its body. Reconnect with `Last-Event-ID` ' +
  'and nothing is missing or doubled, also through another process. `reset` tells that you may have missed ' +
  'something, since events were deleted before you read them or a standby took over, and the stream goes on. `end` tells that you are to reconnect: the process drains, or you read too ' +
  'slowly, or the events of one job are to be read anew, or (`unauthenticated`) your key is no longer valid. A comment comes every 15 s. A key may read 50 streams of a process at once, and a tenant 400.\n\n' +
  'The same URL speaks WebSocket: messages are JSON `{id, type, data}`, the first is `open`, and `lastEventId` in the query resumes. The ' +
  'key travels in `Authorization` there too, which browsers cannot set on a WebSocket: let your own server read the stream for them.'

/** Following what happens, as server-sent events and over WebSocket. */
export const eventRoutes: FastifyPluginAsyncZod<EventRoutesOptions> = async (app, options) => {
  const { sql, streams, callers, bounded } = options
  await app.register(websocket, {
    options: { maxPayload, perMessageDeflate: false },
    preClose: (done) => done(),
    errorHandler: (_error, socket) => socket.terminate(),
  })
  app.decorateRequest('openedStream', null)
  app.addHook('onResponse', async ({ raw }) => {
    if (asksForWebSocket(raw)) raw.socket.destroy() // it was refused, and nobody else looks after its connection any more
  })

  const open = async (request: FastifyRequest, query: z.output<typeof streamQuery>, jobId?: string) => {
    const { socket } = request.raw
    const seat = streams.takeSeat(request.tenant, request.keyId)
    socket.once('close', seat.release)
    try {
      const filter = filterOf(request.tenant, query, jobId)
      const lastEventId = request.headers['last-event-id']?.toString() ?? query.lastEventId
      const beginning = await bounded(() => findBeginning(sql, filter, lastEventId))
      const watchKey = (onOver: () => void) => callers.watch(request.headers.authorization, onOver)
      request.openedStream = beginning ? { filter, beginning, seat, watchKey } : null
    } finally {
      if (!request.openedStream || socket.destroyed) seat.release()
      if (!request.openedStream) socket.off('close', seat.release)
    }
  }

  const answer = (request: FastifyRequest, reply: FastifyReply) => {
    if (!request.openedStream) {
      reply.code(204).send()
      return
    }
    reply.hijack()
    const headers = reply.getHeaders() as OutgoingHttpHeaders
    streams.follow(request.openedStream, (onClose) => serverSentEvents(reply.raw, headers, onClose))
  }

  const converse = (socket: WebSocket, request: FastifyRequest) => {
    if (request.openedStream) streams.follow(request.openedStream, (onClose) => webSocketMessages(socket, onClose))
    else socket.close(1_000)
  }

  const streamRoute = {
    config: { role: 'reader', asksRecord: 'within bounds of its own' },
    exposeHeadRoute: false,
    wsHandler: converse,
  } as const

  app.get(
    '/v1/events',
    {
      ...streamRoute,
      schema: {
        tags,
        operationId: 'followEvents',
        summary: 'Follow the events of all jobs',
        description: howItWorks,
        querystring: streamQuery,
        headers: lastEventIdHeader,
        response: { 200: messages, 400: problem, 422: problem, 429: problem, 503: problem },
      },
      preHandler: (request) => open(request, request.query),
    },
    answer,
  )

  app.get(
    '/v1/jobs/:id/events',
    {
      ...streamRoute,
      schema: {
        tags,
        operationId: 'followJob',
        summary: 'Follow the events of one job',
        description:
          'As /v1/events, but from the first event of the job, and the stream ends after the event that ends the job. Who resumes after ' +
          'that one is answered 204, at which browsers stop to reconnect.',
        params: z.object({ id: z.string() }),
        querystring: streamQuery,
        headers: lastEventIdHeader,
        response: {
          200: messages,
          204: z.null().describe('The job has ended, and you know'),
          400: problem,
          404: problem,
          422: problem,
          429: problem,
          503: problem,
        },
      },
      preHandler: (request) => open(request, request.query, request.params.id),
    },
    answer,
  )
}

function filterOf(tenant: string, query: z.output<typeof streamQuery>, jobId?: string): StreamFilter {
  return {
    tenant,
    events: query.type ?? [...usualEvents, ...platformEvents],
    jobTypes: query.jobType ?? [],
    tags: query.tag ?? [],
    jobId,
  }
}
