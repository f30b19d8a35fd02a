import type { Redis } from 'ioredis'

/** @returns a number that Redis tells in its INFO, such as `used_memory` of `memory`. */
export async function readInfo(redis: Redis, section: string, name: string): Promise<number> {
  const value = new RegExp(`^${name}:(\\d+)`, 'm').exec(await redis.info(section))?.[1]
  if (value === undefined) throw new Error(`Redis tells no ${name}`)
  return Number(value)
}
