import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@jobyard/db/embedded'
import { findPostmaster } from '@jobyard/db/embedded-server'

/** A Postgres of its own, which can be stopped, killed and started again with its data. */
export class PostgresServer {
  readonly #home: string
  readonly #settings: Record<string, string>
  #running: EmbeddedPostgres
  #pid: number
  readonly #onExit = () => this.#endNow()

  private constructor(home: string, settings: Record<string, string>, running: EmbeddedPostgres, pid: number) {
    this.#home = home
    this.#settings = settings
    this.#running = running
    this.#pid = pid
    process.once('exit', this.#onExit)
  }

  /** @param parent folder in which its data are kept. */
  static async start(settings: Record<string, string> = {}, parent = tmpdir()): Promise<PostgresServer> {
    const home = await mkdtemp(join(parent, 'jobyard-chaos-'))
    await chmod(home, 0o711)
    const all = { max_connections: '300', ...settings }
    const [running, pid] = await launch(home, all)
    return new PostgresServer(home, all, running, pid)
  }

  /** postgres://… of the superuser and the database `postgres`; another port after a restart is possible. */
  get url(): string {
    return this.#running.url
  }

  /**
   * Ends the server as its administrator would: connections are cut, transactions rolled back.
   *
   * @param how `fast` writes a checkpoint first, `immediate` and `kill` leave recovery to the next start.
   */
  async down(how: 'fast' | 'immediate' | 'kill'): Promise<void> {
    const signals = { fast: 'SIGINT', immediate: 'SIGQUIT', kill: 'SIGKILL' } as const
    process.kill(this.#pid, signals[how])
    await this.#running.stop()
  }

  /** @returns false when it has given up, as it does when its disk is full. */
  async runs(): Promise<boolean> {
    return (await findPostmaster(this.#running.dataFolder)) !== undefined
  }

  /** Starts it again. Resolves when it takes connections. */
  async up(): Promise<void> {
    await this.#running.stop()
    const [running, pid] = await launch(this.#home, this.#settings)
    this.#running = running
    this.#pid = pid
  }

  /** Stops or continues every process of the server: nothing is answered, and no connection is closed. */
  async signalAll(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    for (const pid of [this.#pid, ...(await childrenOf(this.#pid))]) {
      try {
        process.kill(pid, signal)
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  async close(): Promise<void> {
    await this.signalAll('SIGCONT')
    await this.#running.stop()
    await rm(this.#home, { recursive: true, force: true })
    process.off('exit', this.#onExit)
  }

  #endNow(): void {
    try {
      process.kill(this.#pid, 'SIGQUIT')
    } catch {
      // It has ended already.
    }
  }
}

async function launch(home: string, settings: Record<string, string>): Promise<[EmbeddedPostgres, number]> {
  const running = await startEmbeddedPostgres({ home, settings, initdbArgs: ['--no-sync'] })
  const postmaster = await findPostmaster(running.dataFolder)
  if (!postmaster) throw new Error('Postgres ended as soon as it had started')
  return [running, postmaster.pid]
}

async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'pid=', '--ppid', String(pid)]).catch(() => ({
    stdout: '',
  }))
  return stdout.split('\n').map(Number).filter(Boolean)
}
