import { errorCode, isRowError } from '@jobyard/db/connect'
import { fateOf, type Fate } from '@jobyard/db/trouble'
import { DeadlineError } from '@jobyard/queues/deadline'
import { OverloadedError, RecordAwayError } from '@jobyard/queues/errors'
import { logTogether } from '@jobyard/queues/log-together'
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import type { z } from 'zod'
import { emptyBody } from '../parse-json.ts'
import { Problem, unavailable, type FieldError } from '../problem.ts'
import { rememberMethods, unroutable } from './methods.ts'

/** Answers every error as problem+json; what we did not foresee is logged and answered without its insides. */
export function registerErrors(app: FastifyInstance): void {
  const logProblem = problemLog(app.log)
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const hasNoBody = error.validationContext === 'body' && request.body === undefined
    const problem = hasNoBody
      ? new Problem('invalid-json', emptyBody)
      : problemOf(error, { reading: request.method === 'GET' })
    logProblem(problem, error)
    return sendProblem(reply, problem)
  })
  rememberMethods(app)
  app.setNotFoundHandler((request, reply) => {
    const problem = unroutable(app, request)
    if (request.method !== 'OPTIONS' || problem.kind === 'not-found') return sendProblem(reply, problem)
    return reply.code(204).headers(problem.headers).send()
  })
}

/** @returns what logs the errors behind problems: what we did not foresee each time, trouble with Postgres together. */
export function problemLog(log: FastifyBaseLogger): (problem: Problem, error: unknown) => void {
  const logTrouble = logTogether(log, 'requests', 'Requests met trouble with Postgres, and were answered 503')
  return ({ status, message }, error) => {
    const origin = error instanceof Problem ? error.cause : error
    if (status === 500) log.error({ err: error }, message)
    else if (status === 503 && origin && !(origin instanceof RecordAwayError)) logTrouble(origin)
  }
}

/** Sends a problem with its status and headers. */
export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply
    .code(problem.status)
    .headers(problem.headers)
    .type('application/problem+json')
    .serializer((document: unknown) => JSON.stringify(document))
    .send(problem.toJSON())
}

/**
 * @param reading the request would have changed nothing anyway.
 * @returns the problem that an error of any origin is answered with.
 */
export function problemOf(error: unknown, { reading = false } = {}): Problem {
  if (error instanceof Problem) return error
  if (hasZodFastifySchemaValidationErrors(error)) return validationProblem(error)
  return (
    ofFramework(errorCode(error), error) ??
    ofRecord(error, reading) ??
    new Problem('internal', 'An unexpected error; it was logged.')
  )
}

/** Errors that one problem names. */
const maxErrors = 100

function validationProblem(error: {
  validation: { instancePath: string; message?: string }[]
  validationContext?: string
}) {
  const errors = error.validation.slice(0, maxErrors).map(({ instancePath, message }) => ({
    path: instancePath.split('/').filter(Boolean).join('.'),
    message: readable(message ?? 'is invalid'),
  }))
  return invalid(errors, error.validationContext ?? 'body')
}

/** The first {@link maxErrors} of what zod found, as the errors of a problem. @param prefix path of the value that was checked. */
export function fieldErrors({ issues }: z.ZodError, ...prefix: string[]): FieldError[] {
  return issues.slice(0, maxErrors).map(({ path, message }) => ({
    path: [...prefix, ...path.map(String)].join('.'),
    message: readable(message),
  }))
}

function readable(message: string): string {
  return message.endsWith('received undefined') ? 'is missing' : message
}

/** The 422 of a request that does not fit its schema. */
export function invalid(errors: readonly FieldError[], where = 'body'): Problem {
  const [first] = errors
  const sentence = first ? `${first.path || where}: ${first.message}` : 'the request is invalid'
  return new Problem('validation-failed', `Mend the ${where}: ${sentence}. /docs shows what is expected.`, { errors })
}

function ofFramework(code: string, error: unknown): Problem | undefined {
  switch (code) {
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return new Problem('invalid-json', `Send a JSON body: ${(error as Error).message}.`)
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new Problem('too-large', 'The body is larger than this call accepts. Send less at once.')
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new Problem('unsupported-media-type', 'Send the body as `Content-Type: application/json`.')
    default: {
      const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
      return status >= 400 && status < 500 ? new Problem('bad-request', (error as Error).message) : undefined
    }
  }
}

const whatBecameOfIt: Record<Fate, string> = {
  undone:
    'The database cannot take the request now, and nothing of it was stored. Repeat it, with the same Idempotency-Key if it has one.',
  unknown:
    'The database did not answer, so it is unknown whether the request was carried out. Repeat it with the same Idempotency-Key.',
}

function ofRecord(error: unknown, reading: boolean): Problem | undefined {
  if (isRowError(error)) return invalid([{ path: '', message: 'Postgres cannot store this value' }])
  if (error instanceof OverloadedError)
    return unavailable(
      'Too many requests wait for the database; nothing of this one was stored. Repeat it in a second.',
    )
  const fate = fateOfRequest(error)
  return fate && unavailable(reading ? 'The database did not answer. Ask again.' : whatBecameOfIt[fate])
}

function fateOfRequest(error: unknown): Fate | undefined {
  if (error instanceof DeadlineError) return 'unknown'
  return error instanceof RecordAwayError ? 'undone' : fateOf(error)
}

/**
 * Waits for what is read after a change.
 *
 * @throws Problem `unavailable`, which says that the change stands, when only the reading met trouble.
 */
export async function readAfterChange<Result>(reading: Promise<Result>): Promise<Result> {
  try {
    return await reading
  } catch (error) {
    if (problemOf(error).kind !== 'unavailable') throw error
    throw unavailable('The request was carried out, but what came of it could not be read. Read it again.', error)
  }
}
