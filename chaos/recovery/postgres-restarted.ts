import { restarted, waysToEnd } from '../rows/servers/postgres-restarts.ts'
import type { TrialContext } from '../rows/trial.ts'

const awayMs = 500

/** Restarts Postgres again and again, in each of the ways. */
export async function postgresRestarted(context: TrialContext, times: number): Promise<void> {
  const ways = Array.from({ length: times }, (_, count) => waysToEnd[count % waysToEnd.length] ?? 'fast')
  await restarted(context, ways, awayMs)
}
