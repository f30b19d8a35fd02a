import { newId } from '@jobyard/db/ids'
import type { Place } from '../accept/rivals.ts'
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
  const { servers } = bench
  return takeTurns(bench, contestants, async (contestant) => {
    const databaseUrl = await wipeServers(servers)
    return measureSpeedAt({ databaseUrl, redisUrl: servers.redisUrl }, bench, scale(bench, contestant))
  })
}

/** @returns the contestant with as many jobs as the run is for. */
export function scale({ quick }: Bench, contestant: Contestant): Contestant {
  return quick ? { ...contestant, jobs: contestant.jobs / quickShare } : contestant
}

/** Measures how many jobs per second a contestant's one worker process does at a place where no job waits. */
export async function measureSpeedAt(place: Place, { quick }: Bench, { name, jobs }: Contestant): Promise<number> {
  const target: Target = { ...place, jobs, firstId: newId() }
  const run = (phase: PhaseRequest['phase']) =>
    runChild<number>(program, { contestant: name, phase, target } satisfies PhaseRequest, phaseTimeoutMs)
  await run('load')
  await restServers(place.databaseUrl, quick ? 0 : restMs)
  return run('work')
}
