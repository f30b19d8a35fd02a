import type { Sql } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { readSchedule, upsertSchedule, type NewSchedule, type Upserted } from '@jobyard/db/schedules'

/** A schedule of tests: one of `echo`, each minute, due since a second. */
export function newSchedule(overrides: Partial<NewSchedule> = {}): NewSchedule {
  const nextAt = new Date(Math.floor(Date.now() / 1_000) * 1_000 - 1_000)
  return {
    id: newId(),
    createdAt: new Date(nextAt.getTime() - 3_600_000),
    tenant: 'default',
    name: 'nightly',
    source: 'api',
    rule: { everyMs: 60_000, anchor: nextAt.toISOString() },
    jitterMs: 0,
    missed: 'once',
    missedMax: 100,
    overlap: 'allow',
    type: 'echo',
    queue: 'default',
    input: '{"value":1}',
    priority: 0,
    tags: [],
    metadata: '{}',
    maxAttempts: 5,
    timeoutMs: 60_000,
    next: { nextAt, dueAt: nextAt },
    ...overrides,
  }
}

/** Stores a schedule of tests, in place of the one of this name. */
export async function addSchedule(sql: Sql, overrides: Partial<NewSchedule> = {}): Promise<Upserted> {
  const schedule = newSchedule(overrides)
  const known = await readSchedule(sql, schedule.tenant, schedule.name)
  const upserted = await upsertSchedule(sql, { ...schedule, ...(known && { id: known.id, known }) })
  if (!upserted) throw new Error('There is one of this name already, which belongs to somebody else')
  return upserted
}
