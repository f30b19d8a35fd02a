import { setTimeout as delay } from 'node:timers/promises'
import { call } from '../../load/call.ts'
import { ordinaryWish } from '../../load/wishes.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { startOnce } from './start-once.ts'

const beyondLeaseMs = 14_000
const minutesMs = 90_000
/** Jobs per second that a client submits: far below what the platform can take. */
const jobsPerSecond = 100
/** Share of its usual rate at which a client must be served while Redis is away. */
const leastShare = 0.5

export const redisAway: readonly Trial[] = [
  {
    row: 11,
    name: 'Redis stopped for 2 s and for longer than the lease',
    carriers: ['redis'],
    run: (context) => stopped(context, [2_000, beyondLeaseMs]),
  },
  {
    row: 11,
    name: 'Redis stopped for minutes',
    carriers: ['redis'],
    minutes: 2,
    run: (context) => stopped(context, [minutesMs]),
  },
  { row: 12, name: 'Redis out of memory', carriers: ['redis'], run: outOfMemory },
  { row: 12, name: 'Redis would evict tickets', carriers: ['redis'], run: wrongPolicy },
]

async function stopped(context: TrialContext, times: readonly number[]): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await startClient(context, stage)
  for (const ms of times) {
    stage.redis?.signal('SIGSTOP')
    await expectAccepting(context, ms, `while Redis is stopped for ${ms} ms`)
    stage.redis?.signal('SIGCONT')
    context.injected('Redis stopped', `for ${ms} ms`)
    await context.ledger.accepts(jobsPerSecond)
  }
  await context.endWell(stage)
  const [lost] = await stage.db.sql<{ n: number }[]>`
    select count(*)::int as n from jobs where status = 'completed' and (crashes > 0 or epoch > attempts_made)`
  context.expect(lost?.n === 0, 'I7', `${lost?.n} jobs were taken from workers that lived`)
}

async function outOfMemory(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await startClient(context, stage)
  await stage.redis?.command('CONFIG', 'SET', 'maxmemory', '1')
  context.injected('Redis out of memory')
  const told = until('/readyz says degraded', () => isReady(stage, 'degraded'), 5_000).catch(String)
  await expectAccepting(context, 3_000, 'while Redis is out of memory')
  const answer = await told
  context.expect(answer === true, 'I1', `Redis is out of memory, and: ${String(answer)}`)
  await stage.redis?.command('CONFIG', 'SET', 'maxmemory', '0')
  await until('/readyz says ready', () => isReady(stage, 'ready'))
  await context.ledger.accepts(jobsPerSecond)
  await context.endWell(stage)
}

async function isReady({ apis: [api] }: Stage, status: 'ready' | 'degraded'): Promise<boolean> {
  const answer = await call(api?.url, '/readyz')
  return answer?.status === 200 && answer.body.status === status
}

async function wrongPolicy(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 0, workers: 0 })
  await stage.redis?.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  context.injected('Redis would evict tickets')
  const { code, printed } = await startOnce(stage, 'workers')
  context.expect(code === 1, 'I1', `With allkeys-lru workers ended with ${code}`)
  context.expect(/maxmemory-policy/.test(printed), 'I1', `With allkeys-lru workers said: ${printed}`)
}

/** Starts an ordinary day's load and lets it settle. */
export async function startClient(context: TrialContext, stage: Stage): Promise<void> {
  context.client(stage, { jobsPerSecond, batchPercent: 0, wish: ordinaryWish }).start()
  await context.ledger.accepts(jobsPerSecond)
}

/** Watches for so long that jobs are accepted about as fast as ever. */
export async function expectAccepting(context: TrialContext, ms: number, when: string): Promise<void> {
  const before = context.ledger.accepted.length
  await delay(ms)
  const accepted = context.ledger.accepted.length - before
  const least = (leastShare * jobsPerSecond * ms) / 1_000
  context.expect(accepted >= least, 'I1', `Only ${accepted} jobs were accepted ${when}, where ${least} are the least`)
}
