import { once } from 'node:events'
import { connect as connectSocket, type AddressInfo } from 'node:net'
import { buildApp } from '@jobyard/api/app'
import type { Database } from '@jobyard/db/connect'
import { terminalStatuses } from '@jobyard/db/statuses'
import { openCarrier } from '@jobyard/queues/carrier'
import { createCatalogue } from '@jobyard/queues/catalogue'
import { echo } from '@jobyard/queues/contracts/echo'
import { pino } from 'pino'
import { expect } from 'vitest'
import { secretOfTests } from './endpoints.ts'
import type { ListeningApiOptions } from './listening-api.ts'
import { adminKey, type CarrierKind } from './platform.ts'
import { openRecord } from './record.ts'
import { startTestRedis } from './redis.ts'

/** An answer as it came over a socket. */
export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** An API that listens, without workers, and what it has left behind. */
export interface Edge {
  readonly app: Awaited<ReturnType<typeof buildApp>>
  readonly port: number
  readonly sql: Database['sql']
  /** Writes bytes on a new connection, and reads what comes until it is closed. */
  send(...pieces: readonly (string | Buffer)[]): Promise<RawAnswer>
  /** @returns how many rows there are, and tickets that were handed to the carrier. */
  left(): Promise<{ rows: number; tickets: number }>
  /** Stores a job that has ended in each way. @returns their ids. */
  endedJobs(): Promise<string[]>
  stop(): Promise<void>
}

const tables = ['jobs', 'schedules', 'endpoints', 'idempotency_keys', 'outbox', 'deduplications', 'search_words']

/** Starts an API on a record and a carrier of its own; stop it at the end of the file. */
export async function openEdge(kind: CarrierKind, options: ListeningApiOptions = {}): Promise<Edge> {
  const record = await openRecord()
  const redis = kind === 'redis' ? await startTestRedis() : undefined
  const carrier = openCarrier({ redisUrl: redis?.url, databaseUrl: record.url, onError: () => {} })
  let tickets = 0
  const add = carrier.add.bind(carrier)
  carrier.add = (queue, added) => {
    tickets += added.length
    return add(queue, added)
  }
  const app = await buildApp({
    db: record.db,
    carrier,
    catalogue: createCatalogue([echo]),
    adminKey,
    secret: secretOfTests,
    version: '0',
    log: pino({ level: process.env.TEST_LOG_LEVEL ?? 'silent' }),
    ...options,
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return {
    app,
    port,
    sql: record.sql,
    send: (...pieces) => send(port, pieces),
    left: async () => {
      const counts = tables.map((table) => `(select count(*)::int from ${table})`)
      const [row] = await record.sql.unsafe<{ rows: number }[]>(`select ${counts.join(' + ')} as rows`)
      return { rows: row?.rows ?? 0, tickets }
    },
    endedJobs: async () => {
      const ids = [await record.addJob(), await record.addJob(), await record.addJob()]
      for (const [index, status] of terminalStatuses.entries()) await record.end(ids[index] ?? '', status, 1)
      return ids
    },
    stop: async () => {
      await app.close()
      await carrier.close()
      await redis?.stop()
      await record.close()
    },
  }
}

async function send(port: number, pieces: readonly (string | Buffer)[]): Promise<RawAnswer> {
  const socket = connectSocket(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  const closed = once(socket, 'close')
  for (const piece of pieces) socket.write(piece)
  await closed.catch((error: Error) => expect(chunks, `an answer before ${error.message}`).not.toEqual([]))
  return readAnswer(Buffer.concat(chunks).toString())
}

function readAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = lines.map((line) => line.split(/: (.*)/s).slice(0, 2))
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: Object.fromEntries(
      headers.map(([name = '', value]) => [name.toLowerCase(), value]),
    ) as RawAnswer['headers'],
    body: text.slice(end + 4),
  }
}

/** @returns a request with the admin key on a connection that is closed after it. */
export function request(line: string, headers: readonly string[] = [], body: string | Buffer = ''): Buffer {
  const lines = [`${line} HTTP/1.1`, 'host: x', `authorization: Bearer ${adminKey}`, 'connection: close', ...headers]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), Buffer.from(body)])
}

/** @returns a POST of a body with its length. */
export function post(
  path: string,
  body: string | Buffer,
  type = 'application/json',
  more: readonly string[] = [],
): Buffer {
  const contentType = type ? [`content-type: ${type}`] : []
  return request(`POST ${path}`, [...contentType, `content-length: ${Buffer.byteLength(body)}`, ...more], body)
}

/** Expects a problem of this kind that says how to mend it and tells nothing of our insides. @returns its document. */
export function expectProblem(answer: RawAnswer, status: number, kind: string, sentence: RegExp) {
  expect(answer).toMatchObject({
    status,
    headers: { 'content-type': expect.stringMatching(/^application\/problem\+json/) },
  })
  const document = JSON.parse(answer.body) as { type: string; detail: string; errors?: { path: string }[] }
  expect(document).toMatchObject({ type: `https://jobyard.dev/problems/${kind}`, title: expect.any(String), status })
  expect(document.detail).toMatch(sentence)
  expect(answer.body).not.toMatch(/select |insert |\.ts:|\.js:|node_modules/)
  return document
}
