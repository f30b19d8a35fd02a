import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startTestRedis, type TestRedis } from '@jobyard/testing/redis'
import { Redis } from 'ioredis'

/** Kept between starts, unless it is told to forget: an append-only file, written every second, as production has it. */
const durable = ['--appendonly', 'yes', '--appendfsync', 'everysec']

/** Hears what the server says, whatever its state. */
const administrator = { maxRetriesPerRequest: 1, enableReadyCheck: false }

/** A Redis of its own, which can be stopped, killed and started again with or without its data. */
export class RedisServer {
  readonly #folder: string
  #running: TestRedis
  #backup: string | undefined

  private constructor(folder: string, running: TestRedis) {
    this.#folder = folder
    this.#running = running
  }

  static async start(): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'jobyard-chaos-redis-'))
    return new RedisServer(folder, await startTestRedis({ args: ['--dir', folder, ...durable] }))
  }

  get url(): string {
    return this.#running.url
  }

  /** Runs administrator's commands beside every link. */
  command(...words: readonly [string, ...string[]]): Promise<unknown> {
    return this.#run(new Redis(this.url, administrator), words)
  }

  /** The same for a server that asks for a password. */
  commandAs(password: string, ...words: readonly [string, ...string[]]): Promise<unknown> {
    return this.#run(new Redis(this.url, { ...administrator, password }), words)
  }

  async #run(redis: Redis, [name, ...rest]: readonly [string, ...string[]]): Promise<unknown> {
    redis.on('error', () => {})
    try {
      return await redis.call(name, ...rest)
    } finally {
      redis.disconnect()
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running.kill(signal)
  }

  /** Kills it with −9. */
  async down(): Promise<void> {
    this.#running.kill('SIGKILL')
    await this.#running.stop()
  }

  /**
   * Starts it again at the same address.
   *
   * @param data what it finds: what it had, nothing, or what it had at the last {@link backUp}.
   * @param args further arguments of this start.
   */
  async up(data: 'kept' | 'none' | 'backup' = 'kept', args: readonly string[] = []): Promise<void> {
    if (data !== 'kept') await rm(this.#folder, { recursive: true, force: true })
    if (data === 'backup' && this.#backup !== undefined) await cp(this.#backup, this.#folder, { recursive: true })
    await mkdir(this.#folder, { recursive: true })
    const { port } = this.#running
    this.#running = await startTestRedis({ port, args: ['--dir', this.#folder, ...durable, ...args] })
  }

  /** Keeps a copy of its data as they are now. */
  async backUp(): Promise<void> {
    await this.command('BGREWRITEAOF')
    while (/aof_rewrite_(in_progress|scheduled):1/.test(String(await this.command('INFO', 'persistence')))) continue
    if (this.#backup !== undefined) await rm(this.#backup, { recursive: true, force: true })
    this.#backup = await mkdtemp(join(tmpdir(), 'jobyard-chaos-backup-'))
    await cp(this.#folder, this.#backup, { recursive: true })
  }

  async close(): Promise<void> {
    this.#running.kill('SIGCONT')
    await this.#running.stop()
    for (const folder of [this.#folder, this.#backup]) {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    }
  }
}
