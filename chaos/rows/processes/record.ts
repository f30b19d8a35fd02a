import type { Member } from '../../stage/crew.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'

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
  const enough = async () => {
    const [row] = await db.sql<{ n: number }[]>`select count(*)::int as n from jobs where status = 'running'`
    return (row?.n ?? 0) >= count
  }
  await until(`${count} jobs run`, enough, withinMs)
}
