import { sweepMarginMs } from '@jobyard/db/sweep'
import { until } from '../until.ts'
import type { Link } from './link.ts'
import type { Links, Stage } from './stage.ts'

/** Application name of the connections of the embedded carrier. */
const embeddedCarrier = 'jobyard-carrier'

/** @returns the link through which processes reach the carrier, and what its connections on this link begin with. */
export function carrierLink({ postgres, redis }: Links): readonly [link: Link, only: string] {
  return redis ? [redis, ''] : [postgres, embeddedCarrier]
}

/** Takes everything from the carrier: tickets and pauses. */
export async function wipeCarrier({ redis, db }: Stage): Promise<void> {
  if (redis) await redis.command('FLUSHALL')
  else await db.sql`truncate bullmq.job, bullmq.meta, bullmq.event, bullmq.rate_limit, bullmq.dedup cascade`
}

/** Resolves when every ticket was sent so long ago that its loss can be proved. That of a younger one is found once the older jobs have run. */
export async function ticketsCanBeMissed({ db }: Stage): Promise<void> {
  await until('every ticket is old enough to be missed', async () => {
    const [row] = await db.sql<{ old: boolean }[]>`
      select max(ticketed_at) < statement_timestamp() - ${sweepMarginMs}::float8 * interval '1 millisecond' as old from jobs`
    return row?.old
  })
}

/** @returns the ids of jobs in the tickets that wait in the carrier or are in hand. */
export async function ticketedJobs({ redis, db }: Stage): Promise<string[]> {
  const tickets = redis
    ? ((await redis.command('EVAL', everyTicket, '0')) as string[])
    : (await db.sql<{ data: string }[]>`select data::text as data from bullmq.job`).map(({ data }) => data)
  return tickets.flatMap((data) => (JSON.parse(data) as { ids?: string[] }).ids ?? [])
}

/** Answers the data of every ticket in any queue: each is a hash, named by its queue and its id. */
const everyTicket = `
  local found = {}
  for _, key in ipairs(redis.call('KEYS', 'jobyard:*:*')) do
    if redis.call('TYPE', key)['ok'] == 'hash' then
      local data = redis.call('HGET', key, 'data')
      if data then found[#found + 1] = data end
    end
  end
  return found`
