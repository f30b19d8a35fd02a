import pLimit from 'p-limit'
import type postgres from 'postgres'

/** Thrown when COMMIT was sent and no answer came: the transaction may or may not have happened. */
export class CommitUnknownError extends Error {
  override readonly name = 'CommitUnknownError'
}

/** Thrown at whoever goes on with a transaction whose connection is gone: Postgres has rolled it back. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
  /** Read by `errorCode`, like the driver's own. */
  readonly code = 'CONNECTION_CLOSED'
}

/** Makes a client of one connection, and tells when that connection is closed. */
export type OpenClient = (onClose: () => void) => postgres.Sql

interface Client {
  readonly sql: postgres.Sql
  lost: boolean
}

/**
 * Transactions, a bounded number at a time, each on a connection that nothing else uses meanwhile. The driver's own `begin()`
 * and `reserve()` are not safe: see docs/decisions/0004-transactions.md.
 */
export class TransactionPool {
  readonly #open: OpenClient
  readonly #limit: ReturnType<typeof pLimit>
  readonly #idle: Client[] = []
  readonly #all = new Set<Client>()

  /** @param size transactions, hence connections, at once; further ones wait. */
  constructor(open: OpenClient, size: number) {
    this.#open = open
    this.#limit = pLimit(size)
  }

  /**
   * Runs `work` in a transaction.
   *
   * @returns what `work` returned, after the commit.
   * @throws what `work` threw, after the rollback; CommitUnknownError when the connection was lost during COMMIT.
   */
  run<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
    return this.#limit(async () => {
      const client = this.#take()
      try {
        return await inTransaction(guarded(client), work)
      } finally {
        this.#release(client)
      }
    })
  }

  /** Closes every connection, after waiting up to five seconds for what runs. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map(({ sql }) => sql.end({ timeout: 5 })))
  }

  #take(): Client {
    const idle = this.#idle.pop()
    if (idle && !idle.lost) return idle
    if (idle) this.#discard(idle)
    const client: Client = { sql: this.#open(() => (client.lost = true)), lost: false }
    this.#all.add(client)
    return client
  }

  #release(client: Client): void {
    if (client.lost) this.#discard(client)
    else this.#idle.push(client)
  }

  #discard(client: Client): void {
    this.#all.delete(client)
    void client.sql.end({ timeout: 0 }).catch(() => {})
  }
}

async function inTransaction<T>(sql: postgres.Sql, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  await sql`begin`
  const result = await work(sql).catch(async (error: unknown) => {
    await sql`rollback`.catch(() => {})
    throw error
  })
  await sql`commit`.catch((error: unknown) => {
    throw new CommitUnknownError('The connection was lost during COMMIT', { cause: error })
  })
  return result
}

/** A statement of the driver, which runs when its handler is called. */
interface Statement {
  handler: (statement: Statement) => unknown
  reject: (error: Error) => void
}

/**
 * The client, but statements after the loss of its connection are refused. The driver would reconnect and run them outside
 * the transaction.
 */
function guarded(client: Client): postgres.Sql {
  const guard = (made: unknown) => {
    if (isStatement(made)) {
      const run = made.handler
      made.handler = (statement) =>
        client.lost
          ? statement.reject(new ConnectionLostError('The connection of this transaction was lost'))
          : run(statement)
    }
    return made
  }
  return new Proxy(client.sql, {
    apply: (target, _self, args) => guard(Reflect.apply(target, undefined, args)),
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      return name === 'unsafe' || name === 'file'
        ? (...args: unknown[]) => guard((value as (...all: unknown[]) => unknown)(...args))
        : value
    },
  })
}

function isStatement(made: unknown): made is Statement {
  return typeof made === 'object' && made !== null && 'handler' in made && typeof made.handler === 'function'
}
