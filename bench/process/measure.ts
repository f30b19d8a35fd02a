import type { Bench, Row } from '../bench.ts'
import { runChild } from '../child.ts'
import { takeTurns } from '../rounds.ts'
import { restServers, wipeServers } from '../servers.ts'
import type { Contestant, Target } from './contestant.ts'

/** What {@link runChild} asks of `contestant-process.ts`. */
export interface PhaseRequest {
  readonly contestant: string
  readonly phase: 'load' | 'work'
  readonly target: Target
}

const program = new URL('./contestant-process.ts', import.meta.url)
/** How many times fewer jobs a quick run has. */
const quickShare = 10
/** Rest between loading and working, in milliseconds; a quick run has none. */
const restMs = 500
/** Time that one phase of one measurement may take, in milliseconds. */
const phaseTimeoutMs = 120_000

/** Measures how many jobs per second each contestant's one worker process does. */
export function measureSpeed(bench: Bench, contestants: readonly Contestant[]): Promise<Row[]> {
  return takeTurns(bench, contestants, async ({ name, jobs }) => {
    const { servers, quick } = bench
    const databaseUrl = await wipeServers(servers)
    const target: Target = { databaseUrl, redisUrl: servers.redisUrl, jobs: quick ? jobs / quickShare : jobs }
    const run = (phase: PhaseRequest['phase']) =>
      runChild<number>(program, { contestant: name, phase, target } satisfies PhaseRequest, phaseTimeoutMs)
    await run('load')
    await restServers(databaseUrl, quick ? 0 : restMs)
    return run('work')
  })
}
