import { setTimeout as delay } from 'node:timers/promises'
import type { Wish } from '../../load/ledger.ts'
import { holdTable } from '../../stage/held-table.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { newEntry, seen, submitAll, submitUntilAccepted, warmUp } from './submission.ts'

const record = 'jobyard-workers'
/** How the statement begins that records outcomes. */
const settle = 'with changed as'
/** Errors of Postgres that pass, and how long each lasts, in milliseconds. */
const passing = {
  '40001': 'serialization',
  '40P01': 'deadlock',
  '57014': 'statement time-out',
  '53200': 'out of memory',
}
const forMs = 1_500
/** Statements per second that a worker may repeat for a few jobs while Postgres refuses them. */
const mostRepeats = 40

export const settling: readonly Trial[] = [
  { row: 15, name: 'connection dropped while outcomes are recorded', run: dropped },
  { row: 15, name: 'outcomes refused by Postgres for a while', run: refused },
]

/** Fails once, so that its outcomes write everything that outcomes can write. */
const failingOnce: Wish = { type: 'echo', input: { value: 'settled', failTimes: 1 }, failures: 1 }

async function dropped(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  await dropBefore(context, stage)
  await dropAmid(context, stage)
  await dropAfter(context, stage)
  await context.endWell(stage)
}

/** The server process ends while the statement waits, which is rolled back. */
async function dropBefore(context: TrialContext, stage: Stage): Promise<void> {
  await whileSettling(context, stage, async (held) => {
    await held.drop(await held.waited(record, settle))
    context.injected('connection dropped before an outcome was recorded')
  })
}

/** The connection ends while the statement waits, which goes on all the same, and is repeated meanwhile. */
async function dropAmid(context: TrialContext, stage: Stage): Promise<void> {
  await whileSettling(context, stage, async (held) => {
    await held.waited(record, settle)
    stage.links.workers.postgres.desert()
    context.injected('connection dropped while an outcome was recorded')
    await held.waited(record, settle, 2)
  })
}

/** The outcome is recorded, and the connection ends before the worker knows. */
async function dropAfter(context: TrialContext, stage: Stage): Promise<void> {
  const { postgres } = stage.links.workers
  const entry = await whileSettling(context, stage, async (held) => {
    await held.waited(record, settle)
    postgres.mute(record)
  })
  await seen(stage, entry, 'is recorded', ({ attemptsMade }) => attemptsMade > 0)
  postgres.heal(true)
  context.injected('connection dropped after an outcome was recorded')
}

async function whileSettling(
  context: TrialContext,
  stage: Stage,
  strike: (held: Awaited<ReturnType<typeof holdTable>>) => Promise<void>,
) {
  const held = await holdTable(stage, 'attempts')
  try {
    const entry = newEntry(context, failingOnce)
    await submitUntilAccepted(context, stage, entry)
    await strike(held)
    return entry
  } finally {
    await held.release()
  }
}

async function refused(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await warmUp(context, stage)
  for (const [code, name] of Object.entries(passing)) {
    await refuseEvents(stage, code)
    await submitAll(context, stage, Array<Wish>(10).fill(failingOnce))
    await delay(forMs)
    const statements = await allowEvents(stage)
    await until('every outcome is recorded', () => nothingRuns(stage))
    context.injected(`outcomes refused: ${name}`, code)
    const most = (mostRepeats * forMs) / 1_000
    context.expect(statements > 0, 'I2', `No outcome met ${code}`)
    context.expect(statements <= most, 'I2', `${statements} statements met ${code} within ${forMs} ms`)
  }
  await context.endWell(stage)
}

/** From now on every statement fails that records how an attempt ended. */
async function refuseEvents({ db }: Stage, code: string): Promise<void> {
  await db.sql.unsafe(`
    create sequence refused;
    create function refuse() returns trigger language plpgsql as $$
      begin perform nextval('refused'); raise exception 'refused by the trial' using errcode = '${code}'; end $$;
    create trigger refuse before insert on attempts for each row execute function refuse()`)
}

/** @returns how many statements were refused. */
async function allowEvents({ db }: Stage): Promise<number> {
  await db.sql.unsafe('drop trigger refuse on attempts')
  const [row] = await db.sql<
    { n: number }[]
  >`select case when is_called then last_value else 0 end::int as n from refused`
  await db.sql.unsafe('drop function refuse; drop sequence refused')
  return row?.n ?? 0
}

async function nothingRuns({ db }: Stage): Promise<boolean> {
  const [running] = await db.sql`select from jobs where status = 'running' limit 1`
  return running === undefined
}
