import type { AddressInfo } from 'node:net'
import { buildApp } from '@jobyard/api/app'
import type { AppDependencies } from '@jobyard/api/services'
import type { Database } from '@jobyard/db/connect'
import { openCarrier } from '@jobyard/queues/carrier'
import { createCatalogue } from '@jobyard/queues/catalogue'
import { echo } from '@jobyard/queues/contracts/echo'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { adminKey } from './platform.ts'
import { openRecord } from './record.ts'

export interface ListeningApiOptions extends Pick<
  AppDependencies,
  | 'outboundAllow'
  | 'rateLimits'
  | 'quotas'
  | 'streamLimits'
  | 'eventStreamLimits'
  | 'headTimeoutMs'
  | 'bodyTimeoutMs'
  | 'recordTimeoutMs'
  | 'jwt'
  | 'corsOrigins'
  | 'trustedProxies'
> {
  /** Redis that carries the tickets; Postgres does when absent. */
  readonly redisUrl?: string
}

/** An API on a port of its own, without workers. */
export interface ListeningApi {
  readonly app: Awaited<ReturnType<typeof buildApp>>
  readonly port: number
  readonly sql: Database['sql']
}

/** Starts an API on a record of its own; both end with the test. */
export async function listen(options: ListeningApiOptions = {}): Promise<ListeningApi> {
  const record = await openRecord()
  onTestFinished(() => record.close())
  return listenOn(record.db, record.url, options)
}

/** Starts an API that ends with the test. The database is up to the caller. */
export async function listenOn(
  db: Database,
  databaseUrl: string,
  { redisUrl, ...options }: ListeningApiOptions = {},
): Promise<ListeningApi> {
  const carrier = openCarrier({ redisUrl, databaseUrl, onError: () => {} })
  const app = await buildApp({
    db,
    carrier,
    catalogue: createCatalogue([echo]),
    adminKey,
    secret: 'secret-of-tests',
    version: '0',
    log: pino({ level: process.env.TEST_LOG_LEVEL ?? 'silent' }),
    ...options,
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  onTestFinished(async () => {
    await app.close()
    await carrier.close()
  })
  const { port } = app.server.address() as AddressInfo
  return { app, port, sql: db.sql }
}

/** @returns the beginning of a POST that is written by hand, with the admin key, up to what its headers say about the body. */
export function head(path: string, type: string): string {
  return `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminKey}\r\ncontent-type: ${type}\r\n`
}
