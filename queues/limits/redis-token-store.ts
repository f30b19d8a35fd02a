import { Redis } from 'ioredis'
import type { Limit } from './limit.ts'
import type { Taken, TokenStore } from './token-store.ts'

/** Apart from what BullMQ keeps. */
const prefix = 'jobyard-limits:'

/** The arithmetic of `token-bucket.ts`, by the clock of Redis. */
const takeTokens = `--[[ Takes tokens from a bucket, which is the moment when it is full ]]
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local per_ms, burst, least, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0)
full_at = math.min(math.max(full_at, now), now + burst / per_ms)
local tokens = math.floor(burst - (full_at - now) * per_ms + 1e-6)
local taken = 0
if tokens >= least then taken = math.min(tokens, most) end
if taken > 0 then
  full_at = full_at + taken / per_ms
  redis.call('SET', KEYS[1], string.format('%.17g', full_at), 'PX', math.ceil(full_at - now))
end
return { taken, string.format('%.17g', full_at - now) }`

type Script = (bucket: string, perMs: number, burst: number, least: number, most: number) => Promise<[number, string]>

/** Buckets in Redis or Valkey, over a connection of their own: nothing waits there, neither behind tickets nor for Redis to come back. */
export class RedisTokenStore implements TokenStore {
  readonly #connection: Redis
  readonly #take: Script

  /** @param url `redis://` or `rediss://`. */
  constructor(url: string, onError: (error: Error) => void) {
    this.#connection = new Redis(url, {
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 5_000,
      socketTimeout: 5_000,
      retryStrategy: (times) => Math.min(times * 50, 1_000),
      reconnectOnError: ({ message }) => message.includes('READONLY'),
      keyPrefix: prefix,
    })
    this.#connection.on('error', onError)
    this.#connection.defineCommand('takeTokens', { numberOfKeys: 1, lua: takeTokens })
    const { takeTokens: take } = this.#connection as Redis & { takeTokens: Script }
    this.#take = take.bind(this.#connection)
  }

  async take(bucket: string, { perMs, burst }: Limit, least: number, most: number): Promise<Taken> {
    const [tokens, fullInMs] = await this.#take(bucket, perMs, burst, least, most)
    return { tokens, fullInMs: Number(fullInMs) }
  }

  disconnect(): void {
    this.#connection.disconnect()
  }
}
