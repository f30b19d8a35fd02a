import { execFile } from 'node:child_process'
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { call } from '../../load/call.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { newEntry, submit, submitUntilAccepted, timed, warmUp } from './submission.ts'

/** Time in which a request is answered whatever happens, in milliseconds: the API's deadline of a statement and a little. */
const answeredWithinMs = 16_000
/** Time in which health is answered, in milliseconds: the API's deadline of a check and a little. */
const healthWithinMs = 2_500
/** Time from the end of the trouble to the next 202, in milliseconds. */
const healedWithinMs = 15_000
const run = promisify(execFile)

export const postgresRefuses: readonly Trial[] = [
  { row: 17, name: 'disk of Postgres full', run: diskFull },
  { row: 17, name: "connections of the API's pool used up", run: poolExhausted },
  { row: 17, name: 'too many connections to Postgres', run: tooManyConnections },
]

async function diskFull(context: TrialContext): Promise<void> {
  const disk = await mountDisk(context)
  if (!disk) {
    context.figures['left out: full disk, which needs the right to mount'] = 1
    return
  }
  const small = { max_wal_size: '48MB', min_wal_size: '32MB' }
  const stage = await context.stage({ apis: 1, workers: 1, postgresFolder: disk, postgresSettings: small })
  await warmUp(context, stage)
  const filler = join(disk, 'filler')
  const { bavail, bsize } = await statfs(disk)
  await writeFile(filler, Buffer.alloc(bavail * bsize)).catch(() => {})
  context.injected('disk of Postgres full')
  await expectUnavailable(context, stage, { value: 'x'.repeat(100_000) })
  await rm(filler)
  if (!(await stage.postgres.runs())) await stage.raisePostgres()
  await expectHealing(context, stage, 'there is room on the disk again, until a 202')
}

/** @returns the folder of a small disk of its own, or undefined where it cannot be had. */
async function mountDisk(context: TrialContext): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'jobyard-chaos-disk-'))
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=256m,mode=0755', 'tmpfs', folder]).catch(
    () => undefined,
  )
  context.afterwards(async () => {
    if (mounted) await run('umount', ['-l', folder])
    await rm(folder, { recursive: true, force: true })
  })
  return mounted && folder
}

async function poolExhausted(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  const holder = postgres(stage.postgres.url, { max: 1, onnotice: () => {} })
  await holder.unsafe('begin; lock table jobs in access exclusive mode')
  context.injected("connections of the API's pool used up")
  const api = stage.api(context.random)
  const readers = Array.from({ length: 50 }, () => call(api, '/v1/queues', { withinMs: answeredWithinMs }))
  await expectUnavailable(context, stage, { value: 'while all wait' })
  await holder.end({ timeout: 0 })
  await expectHealing(context, stage, 'the lock on jobs is released, until a 202')
  await Promise.all(readers)
}

async function tooManyConnections(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1, postgresSettings: { max_connections: '60' } })
  await warmUp(context, stage)
  const hogs = Array.from({ length: 80 }, () => postgres(stage.postgres.url, { max: 1, onnotice: () => {} }))
  await stage.db.sql`
    select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'jobyard%'`
  await Promise.all(hogs.map((hog) => hog`select 1`.catch(() => {})))
  context.injected('too many connections to Postgres')
  await expectUnavailable(context, stage, { value: 'without a connection' })
  await Promise.all(hogs.map((hog) => hog.end({ timeout: 0 })))
  await expectHealing(context, stage, 'connections are to be had again, until a 202')
}

/** Submits until it is told 503, and looks at what it is told meanwhile, and how soon. */
async function expectUnavailable(context: TrialContext, stage: Stage, input: { value: string }): Promise<void> {
  const [api] = stage.apis
  const answered = async (what: string, withinMs: number, ask: Promise<{ status: number } | undefined>) => {
    const calledAt = performance.now()
    const answer = await ask
    const ms = Math.round(performance.now() - calledAt)
    context.expect(
      answer !== undefined && ms <= withinMs,
      'I1',
      `${what} was answered ${answer?.status} after ${ms} ms`,
    )
    return answer
  }
  await until('a request is answered with 503', async () => {
    const [post, live] = await Promise.all([
      answered(
        'A request',
        answeredWithinMs,
        submit(context, newEntry(context, { type: 'echo', input, failures: 0 }), api?.url),
      ),
      answered('/livez', healthWithinMs, call(api?.url, '/livez')),
      answered('/readyz', healthWithinMs, call(api?.url, '/readyz')),
    ])
    context.expect(live?.status === 200, 'I1', `/livez was answered with ${live?.status}`)
    context.expect(post?.status === 202 || post?.status === 503, 'I1', `A request was answered with ${post?.status}`)
    return post?.status === 503
  })
}

async function expectHealing(context: TrialContext, stage: Stage, what: string): Promise<void> {
  const healedAt = performance.now()
  await submitUntilAccepted(context, stage, newEntry(context))
  timed(context, what, performance.now() - healedAt, healedWithinMs)
  await context.endWell(stage)
}
