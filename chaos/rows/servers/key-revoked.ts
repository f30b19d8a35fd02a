import { setTimeout as delay } from 'node:timers/promises'
import { call } from '../../load/call.ts'
import type { Entry } from '../../load/ledger.ts'
import type { Member } from '../../stage/crew.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { newEntry, submit, submitUntilAccepted, timed, warmUp } from './submission.ts'

/** Callers of each API, and what each of them must have been granted before the key is revoked. */
const callersOfEach = 4
const acceptedBefore = 20
/** The promise is a second; on a machine that is busy a look-up takes its time. In milliseconds. */
const refusedWithinMs = 2_000
const streamEndsWithinMs = 6_000
/** Time for which refused callers go on, in milliseconds. */
const goOnMs = 3_000
/** Time after which who was refused asks for the next job, in milliseconds. */
const refusedRestMs = 50

export const keyRevoked: readonly Trial[] = [
  { row: 36, name: 'a key revoked under load on three APIs', run: revokeUnderLoad },
]

/** How one request was answered, on the monotonic clock in milliseconds. */
interface Asked {
  readonly sentAt: number
  readonly answeredAt: number
  readonly status: number | undefined
  readonly entry: Entry
}

async function revokeUnderLoad(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 3, workers: 1 })
  await warmUp(context, stage)
  const made = await call(stage.apis[0]?.url, '/v1/api-keys', { body: { name: 'chaos', role: 'submitter' } })
  const { id = '', key = '' } = made?.body ?? {}
  context.expect(made?.status === 201, 'row 36', `A key was answered with ${made?.status}`)

  let goesOn = true
  const asked = stage.apis.map((): Asked[] => [])
  const loops = stage.apis.flatMap((api, index) =>
    Array.from({ length: callersOfEach }, async () => {
      while (goesOn) asked[index]?.push(await askOnce(context, api, key))
    }),
  )
  const stopAsking = async () => {
    goesOn = false
    await Promise.all(loops)
  }
  const { streams, revokedAt } = await revokeOnceServed(context, stage, { id, key, asked, stopAsking })
  for (const each of asked) judgeApi(context, each, revokedAt)
  await Promise.all(streams.map((ended) => judgeStream(context, ended, revokedAt)))
  const refusedOnes = asked.flat().filter(isRefused)
  context.figures['requests refused with a revoked key'] = refusedOnes.length
  for (const { entry } of refusedOnes) await submitUntilAccepted(context, stage, entry) // with another key nothing is lost
  await context.endWell(stage)
}

interface KeyInUse {
  readonly id: string
  readonly key: string
  readonly asked: readonly Asked[][]
  readonly stopAsking: () => Promise<void>
}

async function revokeOnceServed(context: TrialContext, stage: Stage, { id, key, asked, stopAsking }: KeyInUse) {
  try {
    const streams = await Promise.all(stage.apis.map((api) => follow(api, key)))
    const areAllServed = () => asked.every((each) => each.filter(isAccepted).length >= acceptedBefore)
    await until('every API accepts', areAllServed)

    const revoked = await call(stage.apis[0]?.url, `/v1/api-keys/${id}`, { method: 'DELETE' })
    const revokedAt = performance.now()
    context.injected('a key revoked', `answered with ${revoked?.status}`)
    context.expect(revoked?.status === 204, 'row 36', `Revoking was answered with ${revoked?.status}`)
    await until('every API refuses', () => asked.every((each) => each.some(isRefused))).catch(() => {}) // told of below
    await delay(goOnMs)
    return { streams, revokedAt }
  } finally {
    await stopAsking()
  }
}

async function askOnce(context: TrialContext, api: Member, key: string): Promise<Asked> {
  const sentAt = performance.now()
  const entry = newEntry(context)
  const answer = await submit(context, entry, api.url, key)
  const answeredAt = performance.now()
  if (answer?.status !== 202) await delay(refusedRestMs)
  return { sentAt, answeredAt, status: answer?.status, entry }
}

const isAccepted = ({ status }: Asked) => status === 202
const isRefused = ({ status }: Asked) => status === 401

/** Nothing that is sent after an API has refused the key once, or after the time that it has for that, may be accepted. */
function judgeApi(context: TrialContext, asked: readonly Asked[], revokedAt: number): void {
  const firstRefused = Math.min(...asked.filter(isRefused).map(({ answeredAt }) => answeredAt))
  timed(context, 'key revoked, until refused', Math.max(firstRefused - revokedAt, 0), refusedWithinMs)
  const latest = Math.min(firstRefused, revokedAt + refusedWithinMs)
  const after = asked.filter((each) => isAccepted(each) && each.sentAt > latest)
  context.expect(after.length === 0, 'row 36', `${after.length} requests were accepted after the key was refused`)
  const early = asked.filter((each) => isRefused(each) && each.answeredAt < revokedAt - refusedWithinMs)
  context.expect(early.length === 0, 'row 36', `${early.length} requests were refused before the key was revoked`)
}

/** Opens a stream of events. @returns what resolves with the moment at which it has ended. */
async function follow({ url }: Member, key: string): Promise<{ readonly endedAt: Promise<number> }> {
  const answer = await fetch(new URL('/v1/events', url), { headers: { authorization: `Bearer ${key}` } })
  if (answer.status !== 200) throw new Error(`A stream was answered with ${answer.status}`)
  return { endedAt: answer.text().then(() => performance.now()) }
}

async function judgeStream(
  context: TrialContext,
  { endedAt }: { readonly endedAt: Promise<number> },
  revokedAt: number,
): Promise<void> {
  const at = await Promise.race([endedAt, delay(streamEndsWithinMs, Infinity)])
  timed(context, 'key revoked, until its stream ends', at - revokedAt, streamEndsWithinMs)
}
