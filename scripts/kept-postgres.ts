import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@jobyard/db/embedded'
import { findPostmaster } from '@jobyard/db/embedded-server'

/** Time between two looks at the server, in milliseconds. */
const lookEveryMs = 1_000

export interface KeptPostgresOptions {
  readonly home: string
  /** Told what happens, one line at a time. */
  readonly onProgress: (line: string) => void
}

/** The embedded Postgres, started again when it dies: its clients reconnect by themselves. */
export class KeptPostgres {
  readonly #options: KeptPostgresOptions
  readonly #stopping = new AbortController()
  #server: EmbeddedPostgres
  #watch: Promise<void> | undefined

  private constructor(options: KeptPostgresOptions, server: EmbeddedPostgres) {
    this.#options = options
    this.#server = server
  }

  /** @throws what `startEmbeddedPostgres` throws. */
  static async start(options: KeptPostgresOptions): Promise<KeptPostgres> {
    const kept = new KeptPostgres(options, await startOnce(options))
    kept.#watch = kept.#keepAlive()
    return kept
  }

  get url(): string {
    return this.#server.url
  }

  /** Ends the watch, then the server. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#watch
    await this.#server.stop()
  }

  async #keepAlive(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await delay(lookEveryMs, undefined, { signal }).catch(() => {})
      if (signal.aborted || (await findPostmaster(this.#server.dataFolder))) continue
      await this.#restart().catch((error: unknown) =>
        this.#options.onProgress(`Postgres cannot be started: ${String(error)}`),
      )
    }
  }

  async #restart(): Promise<void> {
    this.#options.onProgress('Postgres has died; starting it again')
    const { url } = this
    await this.#server.stop()
    this.#server = await startOnce(this.#options)
    if (this.url !== url)
      this.#options.onProgress('Its port was taken meanwhile, so it has another one: stop Jobyard and start it again')
  }
}

function startOnce({ home, onProgress }: KeptPostgresOptions): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ home, onLog: onProgress })
}
