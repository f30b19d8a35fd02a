import { setTimeout as delay } from 'node:timers/promises'
import pLimit from 'p-limit'
import type postgres from 'postgres'

/** Thrown when COMMIT was sent and no answer came: the transaction may or may not have happened. */
export class CommitUnknownError extends Error {
  override readonly name = 'CommitUnknownError'
}

/** Thrown when the connection was lost before COMMIT was sent: Postgres has rolled everything back. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
}

/** Thrown when Postgres answered COMMIT with ROLLBACK, since a statement had failed that nobody has looked at: nothing was done. */
export class RolledBackError extends Error {
  override readonly name = 'RolledBackError'
}

/** Makes a client of one connection, and tells when that connection is closed. */
export type OpenClient = (onClose: () => void) => postgres.Sql

interface Client {
  readonly sql: postgres.Sql
  /** When it was made, on the monotonic clock in milliseconds. */
  readonly madeAt: number
  readonly answerWithinMs: number
  lost: boolean
  /** COMMIT was sent. */
  committing: boolean
}

/**
 * Transactions, a bounded number at a time, each on a connection that nothing else uses meanwhile. The driver's own `begin()`
 * and `reserve()` are not safe: see docs/decisions/0004-transactions.md.
 */
export class TransactionPool {
  readonly #open: OpenClient
  readonly #answerWithinMs: number
  readonly #renewAfterMs: number
  readonly #limit: ReturnType<typeof pLimit>
  readonly #idle: Client[] = []
  readonly #all = new Set<Client>()

  /**
   * @param size transactions, hence connections, at once; further ones wait.
   * @param answerWithinMs time that BEGIN and COMMIT may take before their connection is given up, in milliseconds.
   * @param renewAfterMs age at which a connection is replaced, between two transactions, in milliseconds: what a server process has
   *   planned and cached for it stays as long as the connection.
   */
  constructor(open: OpenClient, size: number, { answerWithinMs = 10_000, renewAfterMs = 30 * 60_000 } = {}) {
    this.#open = open
    this.#answerWithinMs = answerWithinMs
    this.#renewAfterMs = renewAfterMs
    this.#limit = pLimit(size)
  }

  /**
   * Runs `work` in a transaction.
   *
   * @param signal ends the connection when it aborts before COMMIT was sent, and with it whatever `work` waits for or holds.
   * @returns what `work` returned, after the commit.
   * @throws what `work` threw, after the rollback; ConnectionLostError when the connection was lost before COMMIT was sent, or the
   *   signal aborted before the transaction began, CommitUnknownError when it was lost after; RolledBackError when a statement had failed.
   */
  run<T>(work: (sql: postgres.Sql) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#limit(async () => {
      if (signal?.aborted) throw new ConnectionLostError('No transaction was free in time', { cause: signal.reason })
      const client = await this.#begin()
      const onAbort = () => void (client.committing || this.#lose(client))
      signal?.addEventListener('abort', onAbort)
      if (signal?.aborted) onAbort()
      try {
        return await inTransaction(client, work)
      } catch (error) {
        if (error instanceof CommitUnknownError || error instanceof ConnectionLostError) this.#lose(client)
        throw error
      } finally {
        signal?.removeEventListener('abort', onAbort)
        this.#release(client)
      }
    })
  }

  /** Closes every connection, after waiting up to five seconds for what runs. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map(({ sql }) => sql.end({ timeout: 5 })))
  }

  /** Begins on a connection that is idle, or a new one if those turn out to be closed. */
  async #begin(): Promise<Client> {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      if (!idle.lost && (await begins(idle))) return idle
      this.#lose(idle)
    }
    const client: Client = {
      sql: this.#open(() => this.#lose(client)),
      madeAt: performance.now(),
      answerWithinMs: this.#answerWithinMs,
      lost: false,
      committing: false,
    }
    this.#all.add(client)
    if (await begins(client)) return client
    this.#lose(client)
    throw new ConnectionLostError('There is no connection to Postgres')
  }

  #release(client: Client): void {
    client.committing = false
    if (client.lost) return
    if (performance.now() - client.madeAt < this.#renewAfterMs) this.#idle.push(client)
    else this.#lose(client)
  }

  /** Ends the client at once: the driver would reconnect and run what it still has queued outside the transaction. */
  #lose(client: Client): void {
    client.lost = true
    this.#all.delete(client)
    void client.sql.end({ timeout: 0 }).catch(() => {})
  }
}

async function begins({ sql, answerWithinMs }: Client): Promise<boolean> {
  return answered(sql`begin`, answerWithinMs).then(
    () => true,
    () => false,
  )
}

/** @returns false when the connection was lost: the driver tells its statements before it tells us. */
async function rollsBack(client: Client): Promise<boolean> {
  if (client.lost) return false
  return answered(client.sql`rollback`, client.answerWithinMs).then(
    () => !client.lost,
    () => false,
  )
}

/** @throws Error when the server does not answer; nothing else ends the wait on a connection that has fallen silent. */
async function answered<T>(statement: PromiseLike<T>, withinMs: number): Promise<T> {
  const silence = new AbortController()
  try {
    return await Promise.race([
      statement,
      delay(withinMs, undefined, silence).then(() => {
        throw new Error(`There was no answer for ${withinMs / 1_000} s`)
      }),
    ])
  } finally {
    silence.abort()
  }
}

async function inTransaction<T>(client: Client, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  let over = false
  const refusal = () => {
    if (client.lost) return new ConnectionLostError('The connection of this transaction was lost')
    return over ? new Error('This transaction is over; wait for each of its statements') : undefined
  }
  const result = await work(guarded(client.sql, refusal))
    .finally(() => (over = true))
    .catch(async (error: unknown) => {
      if (await rollsBack(client)) throw error
      throw new ConnectionLostError('The connection was lost during the transaction', { cause: error })
    })
  if (client.lost) throw new ConnectionLostError('The connection was lost before COMMIT')
  client.committing = true
  const { command } = await answered(client.sql`commit`, client.answerWithinMs).catch((error: unknown) => {
    throw new CommitUnknownError('The connection was lost during COMMIT', { cause: error })
  })
  if (command !== 'COMMIT')
    throw new RolledBackError('The transaction was rolled back: one of its statements had failed')
  return result
}

/** A statement of the driver, which runs when its handler is called. */
interface Statement {
  handler: (statement: Statement) => unknown
  reject: (error: Error) => void
  catch: (onRejected: () => void) => unknown
}

/** What would end the transaction, or step outside it: the driver runs some of these by itself. */
const offLimits = new Set<string | symbol>([
  'begin',
  'reserve',
  'end',
  'close',
  'listen',
  'subscribe',
  'notify',
  'file',
  'largeObject',
])

/**
 * The client, but statements are refused once the connection is lost or the transaction over: they would run outside of it, or in
 * the next one.
 */
function guarded(client: postgres.Sql, refusal: () => Error | undefined): postgres.Sql {
  const guard = (made: unknown) => {
    if (isStatement(made)) {
      const run = made.handler
      made.handler = (statement) => {
        const refused = refusal()
        if (!refused) return run(statement)
        statement.catch(() => {}) // nobody may be waiting for what was left behind; whoever is hears of it
        statement.reject(refused)
      }
    }
    return made
  }
  return new Proxy(client, {
    apply: (target, _self, args) => guard(Reflect.apply(target, undefined, args)),
    get: (target, name) => {
      if (offLimits.has(name)) throw new TypeError(`sql.${String(name)} has no place inside a transaction`)
      const value: unknown = Reflect.get(target, name)
      return name === 'unsafe'
        ? (...args: unknown[]) => guard((value as (...all: unknown[]) => unknown)(...args))
        : value
    },
  })
}

function isStatement(made: unknown): made is Statement {
  return typeof made === 'object' && made !== null && 'handler' in made && typeof made.handler === 'function'
}
