import type postgres from 'postgres'

/** A statement of the driver, which runs when its handler is called. */
interface Statement {
  handler: (statement: Statement) => unknown
  resolve: (rows: unknown) => void
  reject: (error: unknown) => void
}

/**
 * A client of Postgres that is replaced by a new one when a statement gets no answer in time. The other end of its connections has
 * vanished then, after a failover or in a firewall, and the operating system would go on sending for a quarter of an hour; what was
 * under way on them fails as with any lost connection.
 */
export class RenewedClient {
  /** Stands for the client that is in use. */
  readonly sql: postgres.Sql
  readonly #open: () => postgres.Sql
  readonly #answerWithinMs: number
  #client: postgres.Sql

  /** @param answerWithinMs time in which every statement is answered, in milliseconds: more than its own time-out. */
  constructor(open: () => postgres.Sql, answerWithinMs: number) {
    this.#open = open
    this.#answerWithinMs = answerWithinMs
    this.#client = open()
    this.sql = new Proxy(this.#client, {
      apply: (_client, _self, args) => this.#watch(Reflect.apply(this.#client, undefined, args)),
      get: (_client, name) =>
        name === 'unsafe'
          ? (...args: Parameters<postgres.Sql['unsafe']>) => this.#watch(this.#client.unsafe(...args))
          : (Reflect.get(this.#client, name) as unknown),
    })
  }

  /** Waits up to `timeout` seconds for statements under way, then closes every connection. */
  async end({ timeout }: { timeout: number }): Promise<void> {
    await this.#client.end({ timeout })
  }

  #watch(made: unknown): unknown {
    if (!isStatement(made)) return made
    const client = this.#client
    const run = made.handler
    made.handler = (statement) => {
      const timer = setTimeout(() => this.#renew(client), this.#answerWithinMs)
      const { resolve, reject } = statement
      statement.resolve = (rows) => {
        clearTimeout(timer)
        resolve(rows)
      }
      statement.reject = (error) => {
        clearTimeout(timer)
        reject(error)
      }
      return run(statement)
    }
    return made
  }

  #renew(silent: postgres.Sql): void {
    if (silent !== this.#client) return
    this.#client = this.#open()
    void silent.end({ timeout: 0 }).catch(() => {})
  }
}

function isStatement(made: unknown): made is Statement {
  return typeof made === 'object' && made !== null && 'handler' in made && typeof made.handler === 'function'
}
