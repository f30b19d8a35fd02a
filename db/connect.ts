import postgres from 'postgres'
import { TransactionPool } from './transaction.ts'
import { watchedSockets } from './watched-socket.ts'

/** Whatever runs a tagged statement: a pool, or the one connection of a transaction. */
export type Sql = postgres.Sql

/** Connections of one process to Postgres. */
export interface Database {
  /** Pool of the named queries. Columns arrive in camelCase. */
  readonly sql: postgres.Sql
  /** Pool of listings, which walk an index in its order and stop: nothing is gathered and sorted that may be long. */
  readonly listings: postgres.Sql
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
  /** Time after which a connection that does not answer is given up, in milliseconds: above the time-out of statements. */
  readonly silentMs?: number
}

/** The option is the driver's own, but missing in its types. */
type DriverOptions = postgres.Options<{}> & { socket?: ReturnType<typeof watchedSockets> }

/**
 * Every named query has its index. Without this, a statement planned while its table was still small reads the whole of it until
 * the statistics catch up (docs/decisions/0007-indexes-by-marker.md). One plan serves every call: planning costs as much as a batch.
 */
const hotPlans = { enable_seqscan: 'off', plan_cache_mode: 'force_generic_plan' }

/** A list of which Postgres believes that it is short would be read whole, and sorted. */
export const orderedPlans = { enable_bitmapscan: 'off', enable_sort: 'off', enable_incremental_sort: 'off' }

/** Lets Postgres find soon that a client is gone which may hold locks, also while its statement waits for another lock. */
const endsWithItsClient = {
  client_connection_check_interval: '1s',
  tcp_keepalives_idle: 10,
  tcp_keepalives_interval: 5,
  tcp_keepalives_count: 3,
}

/**
 * @returns wait before a connection that was lost is made again, in seconds; the driver would come to wait for twenty. Never nothing:
 *   a client that is ended when its connection is lost must be faster than its driver.
 */
function backoff(losses: number): number {
  return Math.min(0.025 * 2 ** losses, 0.5)
}

/**
 * Opens the pools of one process; connections are made on first use.
 *
 * @param url `postgres://user:password@host:port/database`
 */
export function connect(url: string, options: ConnectOptions): Database {
  const { applicationName, max = 6, maxTransactions = 10, statementTimeoutMs = 10_000 } = options
  const { silentMs = statementTimeoutMs + 5_000 } = options
  const client = (settings: Record<string, string | number>, more: DriverOptions) =>
    postgres(url, {
      ...more,
      backoff,
      connect_timeout: 5,
      keep_alive: 15,
      onnotice: () => {},
      transform: { column: { from: postgres.toCamel } },
      connection: {
        application_name: applicationName,
        ...settings,
        default_transaction_isolation: 'read committed',
      },
    })
  const socket = watchedSockets(silentMs)
  const sql = client({ statement_timeout: statementTimeoutMs, ...hotPlans }, { max, socket })
  const ofTransactions = { ...endsWithItsClient, application_name: `${applicationName} transaction` }
  const transactions = new TransactionPool(
    // The driver would end a connection of a certain age between two statements, of a transaction as well.
    (onclose) => client(ofTransactions, { max: 1, onclose, max_lifetime: null }),
    maxTransactions,
  )
  const listings = client({ statement_timeout: statementTimeoutMs, ...hotPlans, ...orderedPlans }, { max: 4, socket })
  return {
    sql,
    listings,
    transactions,
    close: async () => {
      await Promise.all([sql.end({ timeout: 5 }), listings.end({ timeout: 5 }), transactions.close()])
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

/**
 * Tells trouble of the server from what is wrong with a statement, which may succeed later: a conflict with others, no room, a
 * server that stops or is no primary any more. A statement that took too long is not meant.
 */
export function isServerTrouble(error: unknown): boolean {
  return /^(08|25006|40|53|57P|58)/.test(errorCode(error))
}

/** Tells that the connection failed, so that nothing is known about what was under way on it. */
export function isConnectionError(error: unknown): boolean {
  const code = errorCode(error)
  return connectionErrorCodes.has(code) || /^(08|57P)/.test(code)
}

/** @returns the SQLSTATE or the socket's error code, of the error or of what has caused it, or an empty string. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return ''
  return 'code' in error && typeof error.code === 'string' ? error.code : errorCode(error.cause)
}
