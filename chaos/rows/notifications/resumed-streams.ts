import { setTimeout as delay } from 'node:timers/promises'
import { Caller } from '../../load/caller.ts'
import { Follower, positionOf, serverSentEvents, webSocket, type Message } from '../../load/follower.ts'
import { quickWish } from '../../load/wishes.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import { waysToEnd } from '../servers/postgres-restarts.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { expectWholeStream } from './whole-stream.ts'

const jobsPerSecond = 100
const kills = 3
const awayMs = 500
/** Shortest that anything may be kept, in milliseconds. */
const retentionMs = 1_000
const jobs = 50

export const resumedStreams: readonly Trial[] = [
  { row: 35, name: 'streams resumed at another API, and across restarts of Postgres', run: resumed },
  { row: 35, name: 'a stream resumed from before retention', run: fromBeforeRetention },
]

async function resumed(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 3, workers: 1 })
  const connects = [
    ['reader of server-sent events', serverSentEvents],
    ['reader over WebSocket', webSocket],
  ] as const
  const followers = connects.map(([name, connect]) => new Follower({ name, connect, api: otherEachTime(stage) }))
  for (const follower of followers) {
    context.afterwards(() => follower.stop())
    follower.start('0')
  }
  context.client(stage, { jobsPerSecond, batchPercent: 0, cancelPercent: 0, wish: quickWish }).start()
  for (let count = 0; count < kills; count++) {
    for (const follower of followers) {
      await readsOn(follower)
      await killApiOf(context, stage, follower)
    }
  }
  for (const way of waysToEnd) {
    await Promise.all(followers.map(readsOn))
    await stage.postgres.down(way)
    await delay(awayMs)
    await stage.raisePostgres()
    context.injected(`Postgres restarted (${way})`, 'under readers of the stream')
  }
  await Promise.all(followers.map(readsOn))
  await context.endWell(stage)
  await expectWholeStream(context, stage, followers)
}

/** @returns what names another API at each call, among those that work. */
function otherEachTime({ apis }: Stage): () => string | undefined {
  let turn = 0
  return () => apis[turn++ % apis.length]?.url
}

/** Resolves when a reader was told something more. */
async function readsOn({ name, messages }: Follower): Promise<void> {
  const before = messages.length
  await until(`${name} reads on`, () => messages.length > before + jobsPerSecond / 2)
}

/** Kills the API that a reader is connected to. */
async function killApiOf(context: TrialContext, { apis }: Stage, { name, base }: Follower): Promise<void> {
  const api = apis.find(({ url }) => url !== undefined && url === base)
  if (!api) throw new Error(`${name} reads from ${base}, which is no API that works`)
  await api.kill()
  context.injected('API killed that a stream was read from', name)
}

async function fromBeforeRetention(context: TrialContext): Promise<void> {
  const names = ['RETENTION_COMPLETED_MS', 'RETENTION_FAILED_MS', 'RETENTION_EVENTS_MS']
  const env = Object.fromEntries(names.map((name) => [name, String(retentionMs)]))
  const stage = await context.stage({ apis: 2, workers: 1, env })
  const caller = new Caller(() => stage.api(context.random))
  await submitEchoes(caller)
  const before = await read(context, stage, '0', jobs)
  const stopsAt = before[jobs / 2 - 1]
  context.expect(positionOf(stopsAt) === jobs / 2, 'I4', `Message ${jobs / 2} was at ${stopsAt?.id}`)
  await pruneAll(stage)
  context.injected('events deleted that a reader had not read')
  await submitEchoes(caller)

  const [reset, ...others] = await read(context, stage, stopsAt?.id ?? '', 1 + jobs)
  const told = JSON.stringify(reset)
  const { reason, missedFrom, missedThrough = 0 } = reset?.data ?? {}
  context.expect(reset?.type === 'reset' && reason === 'deleted', 'row 35', `The first message was ${told}`)
  context.expect(missedFrom === jobs / 2 + 1, 'row 35', `What was missed begins elsewhere: ${told}`)
  context.expect(missedThrough === jobs && positionOf(reset) === jobs, 'row 35', `It ends elsewhere: ${told}`)
  const places = others.map(positionOf)
  context.expect(
    places.every((place, index) => place === jobs + 1 + index),
    'row 35',
    `After the reset came ${places.slice(0, 3).join(', ')}, …`,
  )
}

async function submitEchoes(caller: Caller): Promise<void> {
  await caller.submitAll(Array.from({ length: jobs }, (_, value) => ({ type: 'echo', input: { value } })))
}

/** @returns the first so many messages after a place. */
async function read(context: TrialContext, stage: Stage, lastId: string, count: number): Promise<Message[]> {
  const api = () => stage.api(context.random)
  const follower = new Follower({ name: 'reader', connect: serverSentEvents, api })
  follower.start(lastId)
  try {
    return await until(`${count} messages have come`, () => follower.messages.length >= count && follower.messages)
  } finally {
    await follower.stop()
  }
}

/** Resolves when nothing is left of the stream. Workers delete what is past its retention as they start. */
async function pruneAll({ db, workers }: Stage): Promise<void> {
  const isOver = async () => {
    const [row] = await db.sql<{ over: boolean }[]>`
      select max(ended_at) < statement_timestamp() - ${retentionMs}::float8 * interval '1 millisecond' as over from endings`
    return row?.over
  }
  await until('everything is past its retention', isOver)
  await Promise.all(workers.map((worker) => worker.kill()))
  await until('everything is deleted', async () => {
    const [row] = await db.sql<{ gone: boolean }[]>`select tail = head as gone from stream`
    return row?.gone
  })
}
