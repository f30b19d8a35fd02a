import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { RenewedClient } from './renewed-client.ts'
import { TransactionPool } from './transaction.ts'

/** Whatever runs a tagged statement: a pool, or the one connection of a transaction. */
export type Sql = postgres.Sql

/** Connections of one process to Postgres. */
export interface Database {
  /** Pool of the named queries. Columns arrive in camelCase. */
  readonly sql: postgres.Sql
  /** Query builder for reads whose shape depends on the caller; has a pool of its own, since drizzle alters its client. */
  readonly orm: PostgresJsDatabase
  /** Connections of `ctx.transaction`, so that slow handlers cannot starve claim and settle. */
  readonly transactions: TransactionPool
  /** Waits up to five seconds for statements under way, then closes every connection. */
  close(): Promise<void>
}

export interface ConnectOptions {
  /** Name shown in pg_stat_activity. */
  readonly applicationName: string
  /** Connections for the named queries. */
  readonly max?: number
  /** Connections for `ctx.transaction`, hence transactions at once. */
  readonly maxTransactions?: number
  /** Time after which Postgres cancels a statement, in milliseconds. */
  readonly statementTimeoutMs?: number
  /** Time beyond that after which connections are taken for dead that have not answered, in milliseconds. */
  readonly silenceMs?: number
}

/**
 * Wait before a connection is tried again, in seconds. The driver's own grows to 20 s, and counts the failures of all connections
 * together: a restart of Postgres that takes some seconds would be noticed long after it is over.
 *
 * @param failures since a connection was last made.
 */
function backoff(failures: number): number {
  return Math.min(0.05 * 2 ** failures, 0.5) * (0.75 + Math.random() / 2)
}

/**
 * Every named query has its index. Without this, a statement planned while its table was still small reads the whole of it until
 * the statistics catch up (docs/decisions/0007-indexes-by-marker.md). One plan serves every call: planning costs as much as a batch.
 */
const hotPlans = { enable_seqscan: 'off', plan_cache_mode: 'force_generic_plan' }

/**
 * Opens the pools of one process; connections are made on first use.
 *
 * @param url `postgres://user:password@host:port/database`
 */
export function connect(url: string, options: ConnectOptions): Database {
  const { applicationName, max = 6, maxTransactions = 10, statementTimeoutMs = 10_000, silenceMs = 5_000 } = options
  const client = (size: number, settings: Record<string, string | number>, more: postgres.Options<{}> = {}) =>
    postgres(url, {
      max: size,
      connect_timeout: 5,
      keep_alive: 15,
      backoff,
      onnotice: () => {},
      connection: { application_name: applicationName, ...settings },
      ...more,
    })
  const named = { transform: { column: { from: postgres.toCamel } } }
  const readCommitted = { default_transaction_isolation: 'read committed' }
  const bounded = { statement_timeout: statementTimeoutMs }
  const renewed = (open: () => postgres.Sql) => new RenewedClient(open, statementTimeoutMs + silenceMs)
  const forQueries = renewed(() => client(max, { ...bounded, ...hotPlans, ...readCommitted }, named))
  // The check lets Postgres end a statement that waits for a lock when its client has gone.
  const transactions = new TransactionPool(
    (onclose) => client(1, { client_connection_check_interval: '1s', ...readCommitted }, { ...named, onclose }),
    maxTransactions,
  )
  const forOrm = renewed(() => {
    const own = client(4, bounded)
    drizzle(own) // alters how the client reads and writes values
    return own
  })
  return {
    sql: forQueries.sql,
    orm: drizzle(forOrm.sql),
    transactions,
    close: async () => {
      await Promise.all([forQueries.end({ timeout: 5 }), forOrm.end({ timeout: 5 }), transactions.close()])
    },
  }
}

const connectionErrorCodes = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
])

/**
 * Tells a row that Postgres refuses (data exception, constraint, program limit) from trouble that strikes every row alike.
 * Only the former is worth bisecting a batch for.
 */
export function isRowError(error: unknown): boolean {
  return /^(22|23|54)/.test(errorCode(error))
}

/** Tells that the connection failed, so that nothing is known about what was under way on it. */
export function isConnectionError(error: unknown): boolean {
  const code = errorCode(error)
  return connectionErrorCodes.has(code) || /^(08|57P)/.test(code)
}

/** @returns the SQLSTATE or the socket's error code, or an empty string. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
