import { DrizzleQueryError } from 'drizzle-orm'
import postgres from 'postgres'
import { errorCode } from './connect.ts'
import { CommitUnknownError, ConnectionLostError, RolledBackError } from './transaction.ts'

/** What trouble with Postgres, or on the way to it, has left of what was asked for: nothing, or nobody knows. */
export type Fate = 'undone' | 'unknown'

/** SQLSTATEs of rows that cannot be stored, and of statements that are wrong in themselves. */
const notTrouble = /^(22|23|42|54)/
/** SQLSTATEs after which a statement may have happened all the same: its connection was lost. That of a server that starts is none. */
const maybeDone = /^(08|40003|57P(?!03))/
/** Codes of a connection that was never made. */
const neverConnected = new Set([
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ENOTFOUND',
  'SASL_SIGNATURE_MISMATCH',
])
const tlsRefused = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/
/** Codes of a connection that was lost, or could not be made. */
const disconnected = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'ECONNABORTED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
])

/**
 * Tells trouble with Postgres from rows and statements that are wrong in themselves.
 *
 * @param error what a statement, or a transaction, was rejected with.
 * @returns what became of it; undefined when the error tells of no trouble.
 */
export function fateOf(error: unknown): Fate | undefined {
  if (error instanceof CommitUnknownError) return 'unknown'
  if (error instanceof ConnectionLostError || error instanceof RolledBackError) return 'undone'
  const code = errorCode(error)
  if (error instanceof postgres.PostgresError) {
    if (notTrouble.test(code)) return undefined
    return maybeDone.test(code) ? 'unknown' : 'undone'
  }
  if (neverConnected.has(code) || tlsRefused.test(code) || failedToConnect(error)) return 'undone'
  return disconnected.has(code) ? 'unknown' : undefined
}

/** @returns the driver's error, which the query builder wraps. */
export function unwrapped(error: unknown): unknown {
  return error instanceof DrizzleQueryError ? error.cause : error
}

/** Tells trouble that will strike the next statement as well: Postgres cannot be reached, is starting or ending, or its connections get lost. */
export function isAway(error: unknown): boolean {
  if (/^(08|57P)/.test(errorCode(error))) return true
  const wasAnswered = error instanceof postgres.PostgresError || error instanceof RolledBackError
  return !wasAnswered && fateOf(error) !== undefined
}

/** Tells that Postgres has no connection, memory or disk left: it will when others give theirs back. */
export function isFull(error: unknown): boolean {
  return errorCode(error).startsWith('53')
}

/** Node tries every address of a name, and fails with what each of them said. */
function failedToConnect(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(failedToConnect)
  return error instanceof Error && 'syscall' in error && /^(connect|getaddrinfo)$/.test(String(error.syscall))
}
