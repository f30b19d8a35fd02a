import { openCarrier } from '@jobyard/queues/carrier'
import { call } from '../../load/call.ts'
import { wipeCarrier } from '../../stage/carrier.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { submitAll, timed, warmUp } from './submission.ts'

/** Time from a wipe until a pause stands in the carrier again, in milliseconds. */
const pausedWithinMs = 15_000
const pausedQueue = 'github'
const delayMs = 3_000

export const carrierForgets: readonly Trial[] = [
  { row: 9, name: 'carrier wiped while idle, with delayed jobs and a pause', run: idle },
  { row: 9, name: 'carrier wiped under load', run: underLoad },
  { row: 10, name: 'Redis restarted empty, and with an old backup', carriers: ['redis'], run: oldData },
]

async function idle(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  const { random } = context
  await warmUp(context, stage)
  await call(stage.api(random), `/v1/queues/${pausedQueue}/pause`, { method: 'POST' })
  const event = (delivery: string) => ({
    type: 'github.event',
    input: { event: 'ping', delivery, payload: {} },
    failures: 0,
  })
  const delayed = { type: 'echo', input: { value: 'delayed' }, delayMs, failures: 0 }
  await submitAll(context, stage, [...Array.from({ length: 20 }, () => delayed), event('1'), event('2')])
  await wipe(context, stage)
  const wipedAt = performance.now()
  await awaitPause(stage)
  timed(context, 'carrier wiped, until pauses stand there again', performance.now() - wipedAt, pausedWithinMs)
  const startedAll = async () => (await countOf(stage, 'echo', 'completed')) === 21
  await until('the delayed jobs run', startedAll)
  const held = await countOf(stage, 'github.event', 'queued')
  context.expect(held === 2, 'I1', `Of two jobs in a paused queue ${held} waited`)
  await call(stage.api(random), `/v1/queues/${pausedQueue}/resume`, { method: 'POST' })
  await context.endWell(stage)
}

async function underLoad(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  const client = context.client(stage)
  client.start()
  for (let round = 0; round < 4; round++) {
    await context.ledger.accepts(200)
    await wipe(context, stage)
  }
  await context.ledger.accepts(100)
  await context.endWell(stage)
}

async function oldData(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  const { redis } = stage
  const client = context.client(stage)
  client.start()
  for (const data of ['backup', 'none'] as const) {
    await context.ledger.accepts(200)
    await redis?.backUp()
    await context.ledger.accepts(200)
    await redis?.down()
    await context.ledger.accepts(50)
    await redis?.up(data)
    context.injected(data === 'none' ? 'Redis restarted empty' : 'Redis restarted with an old backup')
  }
  await context.ledger.accepts(100)
  await context.endWell(stage)
}

async function wipe(context: TrialContext, stage: Stage): Promise<void> {
  await wipeCarrier(stage)
  context.injected('carrier wiped')
}

async function countOf({ db }: Stage, type: string, status: string): Promise<number> {
  const [row] = await db.sql<{ n: number }[]>`
    select count(*)::int as n from jobs where type = ${type} and status = ${status}`
  return row?.n ?? 0
}

async function awaitPause({ redis, postgres }: Stage): Promise<void> {
  const carrier = openCarrier({ redisUrl: redis?.url, databaseUrl: postgres.url, onError: () => {} })
  try {
    await until(`${pausedQueue} is paused in the carrier`, () => carrier.isPaused(pausedQueue), pausedWithinMs)
  } finally {
    await carrier.close()
  }
}
