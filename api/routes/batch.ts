import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { BatchItems } from '../batch-items.ts'
import type { BatchStreams } from '../batch-streams.ts'
import type { Callers } from '../callers/callers.ts'
import { keyIsOver } from '../callers/refusals.ts'
import type { RateLimits } from '../limits/rate-limits.ts'
import type { BodyDeadline } from '../plugins/body-deadline.ts'
import { emptyBody } from '../parse-json.ts'
import { refuseEncoding } from '../plugins/bodies.ts'
import { fieldErrors, invalid } from '../plugins/errors.ts'
import { charge } from '../plugins/rate-limits.ts'
import { Problem } from '../problem.ts'
import { batchItemSchema, problemSchema } from '../schemas.ts'

export interface BatchRoutesOptions {
  readonly items: BatchItems
  readonly streams: BatchStreams
  /** Tells when the key of who sends a stream holds no longer. */
  readonly callers: Pick<Callers, 'watch'>
  readonly bodyDeadline: BodyDeadline
  readonly rateLimits: RateLimits | undefined
}

/** Largest body of a batch that is no stream, in bytes. */
const bodyLimit = 16 * 1_048_576
/** Largest item of a batch, in bytes of JSON: as long as a line of a stream. */
const itemLimit = 1_048_576
/** Time a client has to close a connection on which it was still sending when it got the end of its answers, in milliseconds. */
const lingerMs = 2_000

const ndjson = 'application/x-ndjson'
const { $schema: _, ...batchItemJson } = z.toJSONSchema(batchItemSchema, { io: 'input' })
const itemSchema = z.unknown().meta({ ...batchItemJson, id: 'BatchItem' })
const arraySchema = z.strictObject({ jobs: z.array(itemSchema).min(1).max(1_000) })
const answerSchema = z.union([
  z.object({ index: z.int(), id: z.string() }),
  z.object({ index: z.int(), problem: problemSchema }),
])
const problem = problemSchema.describe('application/problem+json')

/** Submitting many jobs in one request: as an array, or as a stream of lines. */
export const batchRoutes: FastifyPluginAsyncZod<BatchRoutesOptions> = async (app, options) => {
  const { items, streams, callers, bodyDeadline, rateLimits } = options
  app.addContentTypeParser(ndjson, async (request: FastifyRequest, payload: Readable) => {
    refuseEncoding(request)
    return payload
  })

  app.post(
    '/v1/jobs/batch',
    {
      config: { role: 'submitter', asksRecord: 'within bounds of its own', chargesItself: isStream },
      bodyLimit,
      schema: {
        tags: ['jobs'],
        operationId: 'submitJobs',
        summary: 'Submit up to 1,000 jobs, or stream up to 100,000',
        description:
          'Each item is accepted or refused on its own, and may carry its own `idempotencyKey`. As `application/x-ndjson`, each line ' +
          'is an item of 1 MiB at most, 256 MiB in all; empty lines do not count. The answers come while you send, so read them: who ' +
          'does not is not read from either. A stream that is cut short ends with a problem whose index is the first that was not ' +
          'taken; what was accepted stays accepted.',
        body: { content: { 'application/json': { schema: arraySchema }, [ndjson]: { schema: itemSchema } } },
        response: {
          202: {
            description: 'An id or a problem per item, in order',
            content: {
              'application/json': { schema: z.object({ items: z.array(answerSchema) }) },
              [ndjson]: { schema: answerSchema },
            },
          },
          408: problem,
          422: problem,
          429: problem,
          503: problem,
        },
      },
    },
    async (request, reply) => {
      if (request.body instanceof Readable) return answerStream(request, reply, request.body)
      const jobs = jobsOf(request.body)
      if (rateLimits && jobs.length > 1) await charge(rateLimits, request, reply, jobs.length - 1, 1)
      const mayBeLarge = !(Number(request.headers['content-length']) <= itemLimit)
      const answers = jobs.map(async (item, index) =>
        mayBeLarge && Buffer.byteLength(JSON.stringify(item)) > itemLimit
          ? items.refuse(
              index,
              new Problem('too-large', 'An item of a batch has 1 MiB of JSON at most. Send less in it.'),
            )
          : items.submit(request.tenant, index, item),
      )
      return reply.code(202).send({ items: await Promise.all(answers) })
    },
  )

  async function answerStream(request: FastifyRequest, reply: FastifyReply, source: Readable): Promise<FastifyReply> {
    bodyDeadline.lift(request.raw)
    reply.raw.once('finish', () => {
      if (!source.readableEnded || streams.closed) hangUp(request.raw)
    })
    const { tenant, keyId } = request
    const pace = rateLimits && ((onMore: () => void) => rateLimits.pace({ tenant, keyId }, onMore))
    const stream = streams.open(tenant, source, pace)
    const unwatch = callers.watch(request.headers.authorization, () => stream.refuse(keyIsOver()))
    void stream.ended.finally(unwatch)
    const answers = await stream.begun()
    return reply.code(202).type(ndjson).send(answers)
  }
}

/** A stream is not refused, but read as slowly as its limits say, a line for a request. */
function isStream({ headers }: FastifyRequest): boolean {
  return headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() === ndjson
}

/** Checks again what was checked unless there was no body at all. */
function jobsOf(body: unknown): unknown[] {
  if (body === undefined) throw new Problem('invalid-json', emptyBody)
  const parsed = arraySchema.safeParse(body)
  if (parsed.success) return parsed.data.jobs
  throw invalid(fieldErrors(parsed.error))
}

/** Closes a connection once everything was answered. While the client is still sending, a reset could take the answers from it. */
function hangUp(request: IncomingMessage): void {
  const { socket } = request
  if (request.readableEnded) {
    socket.destroySoon()
    return
  }
  request.on('readable', () => request.read())
  request.once('end', () => socket.destroySoon())
  socket.end()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
}
