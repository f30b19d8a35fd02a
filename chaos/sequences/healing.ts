import { deleteSpentClaims } from '@jobyard/db/live'
import { findLeftovers } from './ledger.ts'
import type { Job } from './model.ts'
import { newProcess } from './stage.ts'
import { collect, pause, prune, reap, requeue, sweep, tick } from './upkeep-calls.ts'
import { claim, claimSuspect, crash, settle } from './worker-calls.ts'
import { inOrder, judgements, ViolationError, type World } from './world.ts'

/** Rounds of healing: one queues what is late or lost, and runs it. */
const rounds = 2
/** Longer than anything waits in a sequence. */
const longMinutes = 61
const retentionMinutes = 30

/**
 * Ends a sequence: everybody dies, then one healthy process does what the platform does, and every job must end. Then all is
 * pruned, and nothing must be left.
 *
 * @returns how the jobs ended.
 * @throws ViolationError
 */
export async function heal(world: World): Promise<Job[]> {
  await world.becomeQuiet()
  const process = newProcess(world.stage)
  const deaths = [...world.around.workers].map(([id, beat]) => reap(world, id, beat))
  await world.perform(inOrder([...deaths, pause(world, false), crash(process)]))
  for (let round = 0; round < rounds && unfinished(world).length > 0; round++) await runEverything(world, process)
  const left = unfinished(world).map((id) => ({
    invariant: judgements.ended,
    what: `${id} is ${world.jobs.get(id)?.status}`,
  }))
  if (left.length > 0) throw new ViolationError(left, world.trace)
  const ended = [...world.jobs.values()]
  await pruneEverything(world, process.ownership.workerId)
  return ended
}

async function runEverything(world: World, process: ReturnType<typeof newProcess>): Promise<void> {
  const { bag } = world.stage
  await world.passTime(longMinutes)
  await world.perform(inOrder([requeue(world), tick(world), sweep(world)]))
  const ids = [...new Set(bag.held.flatMap((ticket) => ticket.ids))]
  bag.flush()
  const suspects = [...world.jobs.values()].filter(({ status, crashes }) => status === 'queued' && crashes >= 2)
  const everything = { queue: 'default', ids }
  await world.perform(claim(world, process, everything, ids.length, true))
  for (const _ of suspects) await world.perform(claimSuspect(world, process))
  const runs = [...process.ownership.runs]
  const endings = runs.map((run) => ({ run, ended: { outcome: 'completed' } as const }))
  if (runs.length > 0) await world.perform(settle(world, endings))
}

function unfinished({ jobs }: World): string[] {
  return [...jobs].flatMap(([id, { endedAt }]) => (endedAt === undefined ? [id] : []))
}

async function pruneEverything(world: World, workerId: string): Promise<void> {
  const { sql } = world.stage.db
  await world.passTime(longMinutes)
  await world.perform(inOrder([collect(world), prune(world, retentionMinutes, retentionMinutes)]))
  await Promise.all([deleteSpentClaims(sql), deleteSpentClaims(sql, workerId)])
  const left = await findLeftovers(sql)
  const violations = left.map((what) => ({ invariant: judgements.emptied, what }))
  if (violations.length > 0) throw new ViolationError(violations, world.trace)
}
