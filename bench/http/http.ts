import { countQueued, headers, startJobyardApi, type CarrierKind } from '../accept/contestants.ts'
import type { Place } from '../accept/rivals.ts'
import { bareRoute, measureSingly, queueAdd, type Contestant } from '../accept/singly.ts'
import type { Bench, Part } from '../bench.ts'
import { takeTurns } from '../rounds.ts'
import { wipeServers } from '../servers.ts'

/** Everything that can be limited, so high that nothing is refused. */
const limits = {
  RATE_LIMIT_TENANT: '1000000/s',
  RATE_LIMIT_KEY: '1000000/s',
  TENANT_MAX_WAITING_JOBS: '1000000',
  TENANT_MAX_WAITING_BYTES: '1000000000000',
}

/** What a checkout has: figures of before and after are found by this same program. */
interface Offers {
  readonly keys: boolean
  readonly limits: boolean
}

const carriers = { redis: 'Redis', postgres: 'embedded carrier' } as const

/** How many jobs are accepted, one a request, depending on what the HTTP face does besides. */
export const httpFace: Part = async (bench) => {
  const seconds = bench.quick ? 1 : 4
  const contestants = [bareRoute, queueAdd, ...contestantsOf(await findOffers(bench))]
  const section = {
    title: 'What the HTTP face costs',
    method:
      `Requests answered with 202 per second, one job each, 100 connections of \`wrk\`, ${seconds} s after 1 s of warm-up. No workers run. With limits: ` +
      `${Object.entries(limits)
        .map(([name, value]) => `\`${name}=${value}\``)
        .join(', ')}, so that nothing is refused. What the checkout does not have is left out.`,
    unit: 'jobs/s',
    better: 'higher',
    rows: await takeTurns(bench, contestants, (contestant) => measureSingly(bench, contestant, seconds)),
    baseline: `Jobyard, ${carriers.redis}, admin key`,
  } as const
  return [section]
}

function contestantsOf(offers: Offers): Contestant[] {
  const ways = (kind: CarrierKind) => [
    jobyard(kind, { key: false, limits: false }),
    ...(offers.keys ? [jobyard(kind, { key: true, limits: false })] : []),
    ...(offers.limits ? [jobyard(kind, { key: offers.keys, limits: true })] : []),
  ]
  return [...ways('redis'), ...ways('postgres')]
}

function jobyard(kind: CarrierKind, { key, limits: isLimited }: { key: boolean; limits: boolean }): Contestant {
  return {
    name: `Jobyard, ${carriers[kind]}, ${key ? 'API key' : 'admin key'}${isLimited ? ', limits' : ''}`,
    note: isLimited ? 'rate limits and quotas switched on' : 'no limits',
    start: (place) => startJobyardApi(place, kind, isLimited ? limits : {}),
    ...(key && { headersFor: async (url) => ({ ...headers, authorization: `Bearer ${await makeKey(url)}` }) }),
    count: countQueued,
  }
}

/** Asks an API of this checkout what it has. */
async function findOffers({ servers }: Bench): Promise<Offers> {
  const place: Place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
  const service = await startJobyardApi(place, 'redis', limits)
  try {
    const { listening } = service.report
    const answer = await fetch(`${listening}/v1/job-types`, { headers })
    return { limits: answer.headers.has('ratelimit-policy'), keys: (await makeKey(listening)) !== undefined }
  } finally {
    await service.stop()
  }
}

/** @returns a key that may submit; undefined where the API makes none. */
async function makeKey(url: string): Promise<string | undefined> {
  const body = JSON.stringify({ name: 'bench', role: 'submitter' })
  const answer = await fetch(`${url}/v1/api-keys`, { method: 'POST', headers, body })
  if (answer.status === 404) return undefined
  const { key } = (await answer.json()) as { key?: string }
  if (!key) throw new Error(`POST /v1/api-keys was answered with ${answer.status} and no key`)
  return key
}
