import type { PostgresServer } from '../../stage/postgres-server.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { startClient } from './redis-away.ts'
import { timed } from './submission.ts'

/** Time from the moment that Postgres takes connections until the platform serves again, in milliseconds. */
const servingWithinMs = 5_000

type Way = Parameters<PostgresServer['down']>[0]
export const waysToEnd: readonly Way[] = ['fast', 'immediate', 'kill']

export const postgresRestarts: readonly Trial[] = [
  {
    row: 14,
    name: 'Postgres restarted: fast, immediate, killed',
    run: (context) => restarted(context, waysToEnd, 1_000),
  },
]

/** Restarts Postgres under load, once in each of the ways. @param awayMs how long it is down, in milliseconds. */
export async function restarted(context: TrialContext, ways: readonly Way[], awayMs: number): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  await startClient(context, stage)
  for (const way of ways) {
    await context.ledger.accepts(50)
    await stage.postgres.down(way)
    await new Promise((resolve) => setTimeout(resolve, awayMs))
    await stage.raisePostgres()
    const upAt = Date.now()
    context.injected(`Postgres restarted (${way})`)
    await Promise.all([
      context.ledger
        .accepts(1)
        .then(() => timed(context, 'Postgres is up again, until the first 202', Date.now() - upAt, servingWithinMs)),
      firstRun(stage, upAt).then((at) =>
        timed(context, 'Postgres is up again, until the first job runs', at - upAt, servingWithinMs),
      ),
    ])
  }
  await context.endWell(stage)
}

/** @returns when the first job started after a moment, in milliseconds since 1970. */
async function firstRun({ db }: Stage, after: number): Promise<number> {
  return until('a job starts', async () => {
    const [row] = await db.sql<{ at: Date | null }[]>`
      select min(started_at) as at from jobs where started_at > ${new Date(after)}`
    return row?.at?.getTime()
  })
}
