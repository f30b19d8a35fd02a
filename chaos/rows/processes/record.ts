import { setTimeout as delay } from 'node:timers/promises'
import type { Member } from '../../stage/crew.ts'
import type { Stage } from '../../stage/stage.ts'

const pollEveryMs = 20

/** @returns the ids of the jobs that a worker process runs, as the record has it. */
export async function heldBy({ db }: Stage, { pid }: Member): Promise<string[]> {
  const rows = await db.sql<{ id: string }[]>`
    select j.id from jobs j join workers w on w.id = j.worker_id where j.status = 'running' and w.pid = ${pid ?? 0}`
  return rows.map(({ id }) => id)
}

/** @returns the id of a worker process in the record, or undefined where it has none. */
export async function workerIdOf({ db }: Stage, { pid }: Member): Promise<string | undefined> {
  const [row] = await db.sql<{ id: string }[]>`select id from workers where pid = ${pid ?? 0}`
  return row?.id
}

/** Resolves when so many jobs run. @throws Error when they do not within `withinMs` milliseconds. */
export async function runningJobs({ db }: Stage, count: number, withinMs = 20_000): Promise<void> {
  const enough = await until(withinMs, async () => {
    const [row] = await db.sql<{ n: number }[]>`select count(*)::int as n from jobs where status = 'running'`
    return (row?.n ?? 0) >= count
  })
  if (enough === undefined) throw new Error(`There are no ${count} running jobs after ${withinMs} ms`)
}

/**
 * Looks again and again whether something holds.
 *
 * @returns after how many milliseconds it did; undefined when it did not within `withinMs`.
 */
export async function until(withinMs: number, holds: () => boolean | Promise<boolean>): Promise<number | undefined> {
  const startedAt = performance.now()
  do {
    if (await holds()) return performance.now() - startedAt
    await delay(pollEveryMs)
  } while (performance.now() - startedAt < withinMs)
  return undefined
}
