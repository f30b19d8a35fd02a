import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../problem.ts'
import { sendProblem } from './errors.ts'

/** Time that a client has to close a connection after its last answer, in milliseconds: a reset could take the answer from it. */
const lingerMs = 1_000

/** Headers of which the second one would make a request mean two things. Node passes on the first. */
const headersThatStandOnce: ReadonlySet<string> = new Set(['host', 'authorization', 'content-type', 'idempotency-key'])
const lengths: ReadonlySet<number> = new Set([...headersThatStandOnce].map((name) => name.length))

/** Refuses requests that are no clear HTTP/1.1. To be registered before what lets callers in. */
export function refuseUnclearRequests(app: FastifyInstance): void {
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  app.server.on('connect', (_request, socket) => answerOnSocket(socket, noTunnel()))
  app.addHook('onRequest', ({ raw }, _reply, done) => done(whyUnclear(raw)))
}

function whyUnclear({ rawHeaders, headers, httpVersion }: IncomingMessage): Problem | undefined {
  const double = headerThatStandsTwice(rawHeaders)
  if (double) return unclear(`The header ${double} stands twice. Send it once.`)
  if (headers.host === undefined && httpVersion === '1.1') return unclear('Send the header Host, as HTTP/1.1 demands.')
  return undefined
}

/** Who cannot say what a request is may be wrong about where the next one begins. */
function unclear(detail: string): Problem {
  return new Problem('bad-request', detail, { headers: { connection: 'close' } })
}

function headerThatStandsTwice(rawHeaders: readonly string[]): string | undefined {
  let seen: string[] | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    if (!lengths.has(name.length)) continue
    const lower = name.toLowerCase()
    if (!headersThatStandOnce.has(lower)) continue
    if (seen?.includes(lower)) return lower
    seen = seen ? [...seen, lower] : [lower]
  }
  return undefined
}

/** Answers what the framework refuses before there is a route: URLs that cannot be decoded, and ids longer than any. */
export function answerBadUrl(error: { code: string }, request: FastifyRequest, reply: FastifyReply): void {
  const problem =
    error.code === 'FST_ERR_MAX_PARAM_LENGTH'
      ? new Problem('not-found', `There is nothing at ${request.method} ${request.url.slice(0, 200)}. See /docs.`)
      : new Problem('bad-request', 'The URL cannot be decoded. Write each % of a name as %25.')
  void sendProblem(reply, problem)
}

/** Connections on which an answer that is due comes before the refusal of what follows its request. */
const answersDue = new WeakSet<Duplex>()

/** Answers what Node's parser of HTTP refuses, after the requests that came whole before it; and clients that are too slow. */
export function answerClientError(error: { code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET') socket.destroy()
  else if (!answersDue.has(socket)) answerInTurn(socket, problemOfParser(error.code))
}

function answerInTurn(socket: Duplex, problem: Problem): void {
  const { _httpMessage: answer } = socket as { _httpMessage?: ServerResponse | null }
  if (answer?.req.complete) {
    answersDue.add(socket)
    answer.once('close', () => answerInTurn(socket, problem))
  } else if (answer?.headersSent) socket.destroy()
  else answerOnSocket(socket, problem)
}

function problemOfParser(code = ''): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem('timeout', 'The request did not come in time. Send it again, faster.')
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('headers-too-large', 'URL and headers may have 16 KiB together. Send less in them.')
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new Problem('too-large', 'The extensions of the chunks are too long. Leave them out.')
    default:
      return new Problem(
        'bad-request',
        `This is not HTTP/1.1 as RFC 9112 says (${code || 'no code'}). Use an ordinary HTTP client.`,
      )
  }
}

function noTunnel(): Problem {
  return new Problem('method-not-allowed', 'This is no proxy. Ask it for a path.', { headers: { allow: 'GET, POST' } })
}

/** Writes an answer where there is none of Node's to write it with, and ends the connection. */
function answerOnSocket(socket: Duplex, problem: Problem): void {
  if (!socket.writable) return
  const body = JSON.stringify(problem)
  const headers = {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    ...problem.headers,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join('')}\r\n${body}`)
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  void once(socket, 'close').then(
    () => clearTimeout(timer),
    () => clearTimeout(timer),
  )
}
