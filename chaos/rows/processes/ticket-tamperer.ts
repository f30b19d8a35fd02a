import { setTimeout as delay } from 'node:timers/promises'
import { newId } from '@jobyard/db/ids'
import { openCarrier, type Carrier } from '@jobyard/queues/carrier'
import type { Random } from '../../random.ts'
import type { Stage } from '../../stage/stage.ts'

const waitList = 'jobyard:default:wait'
/** Time for which a ticket is kept back at most, in milliseconds. */
const longestDelayMs = 6_000

/** Puts the list in an order that the seed decides. */
const shuffle = `
  math.randomseed(ARGV[1])
  local tickets = redis.call('LRANGE', KEYS[1], 0, -1)
  redis.call('DEL', KEYS[1])
  for last = #tickets, 1, -1 do
    local chosen = math.random(last)
    tickets[chosen], tickets[last] = tickets[last], tickets[chosen]
    redis.call('RPUSH', KEYS[1], tickets[last])
  end
  return #tickets`

/** Does to the tickets of the queue `default` what no carrier should, beside the platform. */
export class TicketTamperer {
  readonly #stage: Stage
  readonly #random: Random
  readonly #carrier: Carrier
  readonly #delayed: Promise<unknown>[] = []

  constructor(stage: Stage, random: Random) {
    this.#stage = stage
    this.#random = random
    this.#carrier = openCarrier({ redisUrl: stage.redis?.url, databaseUrl: stage.postgres.url, onError: () => {} })
  }

  /** Sends further tickets for these jobs. */
  async double(jobIds: readonly string[]): Promise<number> {
    await this.#carrier.add('default', [{ id: newId(), data: { ids: jobIds }, priority: 0 }])
    return jobIds.length
  }

  /** @returns how many tickets are gone. */
  async lose(): Promise<number> {
    const { redis, db } = this.#stage
    if (redis) return (await this.#take(3)).length
    return (await db.sql`delete from bullmq.job where ${this.#someWaiting(3)} returning 1`).length
  }

  /** @returns how many tickets come later. */
  async delay(): Promise<number> {
    const { redis, db } = this.#stage
    const ms = this.#random.int(500, longestDelayMs)
    if (!redis) {
      const dueAt = Date.now() + ms
      const some = this.#someWaiting(5)
      const held = await db.sql`
        update bullmq.job set state = 'delayed', process_at_ms = ${dueAt} where ${some} returning 1`
      return held.length
    }
    const held = await this.#take(5)
    this.#delayed.push(...held.map((ticket) => delay(ms).then(() => redis.command('LPUSH', waitList, ticket))))
    return held.length
  }

  /** @returns how many tickets stand in another order. */
  async reorder(): Promise<number> {
    const { redis, db } = this.#stage
    const seed = this.#random.int(1, 1_000_000)
    if (redis) return Number(await redis.command('EVAL', shuffle, '1', waitList, String(seed)))
    const rows = await db.sql`
      update bullmq.job set seq = 1 + abs(hashtext(id || ${seed}::text)) where queue = 'default' and state = 'waiting' returning 1`
    return rows.length
  }

  /** Resolves when every ticket that was kept back has been given back. */
  async close(): Promise<void> {
    await Promise.all(this.#delayed)
    await this.#carrier.close()
  }

  async #take(count: number): Promise<string[]> {
    const side = this.#random.pick(['LPOP', 'RPOP'] as const)
    return ((await this.#stage.redis?.command(side, waitList, String(count))) ?? []) as string[]
  }

  /** Tickets that wait, chosen by chance, which a worker does not take just now. */
  #someWaiting(count: number) {
    const { sql } = this.#stage.db
    const seed = String(this.#random.int(1, 1_000_000))
    return sql`(queue, id) in (select queue, id from bullmq.job where queue = 'default' and state = 'waiting'
      order by hashtext(id || ${seed}::text) limit ${count} for update skip locked)`
  }
}
