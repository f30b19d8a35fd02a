import { readFile } from 'node:fs/promises'
import { connect, type Database, type Sql } from '@jobyard/db/connect'
import { deleteSchedule, listSchedules } from '@jobyard/db/schedules'
import { parse } from 'yaml'
import { z } from 'zod'
import type { Catalogue } from '../catalogue.ts'
import { RecurrenceError } from '../recurrence/recurrence.ts'
import { scheduleDefinition, scheduleName, type ScheduleDefinition } from './definition.ts'
import { putSchedule, type RunTerms } from './put-schedule.ts'

/** Whose schedules a file says. */
const tenant = 'default'
/** Schedules that a file may own. */
const mostOwned = 10_000

const fileSchema = z.record(scheduleName, scheduleDefinition)

/** A schedule of the file, checked. */
export interface FileSchedule {
  readonly name: string
  readonly definition: ScheduleDefinition
  readonly run: RunTerms
}

/** What became, or would become, of a schedule by the file. */
export interface FileChange {
  readonly name: string
  readonly change: 'created' | 'changed' | 'unchanged' | 'removed'
}

/**
 * Reads a schedules file: an object, in JSON or YAML, of what `PUT /v1/schedules/{name}` takes, by name.
 *
 * @throws Error that names the file and everything that is wrong with it.
 */
export async function readSchedulesFile(path: string, catalogue: Catalogue): Promise<FileSchedule[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new Error(`The schedules file cannot be read: ${(error as Error).message}`)
  })
  return parseSchedules(text, catalogue, path)
}

/** The same of a text. @param path for messages. */
export function parseSchedules(text: string, catalogue: Catalogue, path = 'the schedules file'): FileSchedule[] {
  const parsed = fileSchema.safeParse(parseText(text, path))
  if (!parsed.success)
    throw bad(
      path,
      parsed.error.issues.map(({ path: at, message }) => `${at.join('.')}: ${message}`),
    )
  const problems: string[] = []
  const schedules = Object.entries(parsed.data).flatMap(([name, definition]) => {
    const contract = catalogue.get(definition.type)
    if (!contract || contract.internal) {
      problems.push(`${name}.type: there is no job type "${definition.type}"; known are ${catalogue.types.join(', ')}`)
      return []
    }
    const input = contract.input.safeParse(definition.input)
    for (const issue of input.error?.issues ?? [])
      problems.push(`${[name, 'input', ...issue.path].join('.')}: ${issue.message}`)
    const {
      priority,
      tags,
      metadata,
      maxAttempts = contract.retry.maxAttempts,
      timeoutMs = contract.timeoutMs,
    } = definition
    const texts = { input: JSON.stringify(definition.input ?? null), metadata: JSON.stringify(metadata) }
    return [
      {
        name,
        definition,
        run: { type: contract.type, queue: contract.queue, priority, tags, maxAttempts, timeoutMs, ...texts },
      },
    ]
  })
  if (problems.length > 0) throw bad(path, problems)
  return schedules.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** Reads a schedules file and applies it, over connections of its own. @throws what {@link readSchedulesFile} and {@link applySchedules} do. */
export async function applySchedulesFile(
  databaseUrl: string,
  {
    path,
    catalogue,
    dryRun = false,
  }: { readonly path: string; readonly catalogue: Catalogue; readonly dryRun?: boolean },
): Promise<FileChange[]> {
  const wanted = await readSchedulesFile(path, catalogue)
  const db = connect(databaseUrl, { applicationName: 'jobyard-schedules', max: 1, maxTransactions: 1 })
  try {
    return await applySchedules(db, wanted, { path, dryRun })
  } finally {
    await db.close()
  }
}

/**
 * Makes the schedules that the file owns what it says: those that it does not name any more are removed. All of it happens, or nothing.
 *
 * @param dryRun finds out what would be done, and does nothing.
 * @throws Error that names every schedule that cannot be as the file says.
 */
export async function applySchedules(
  { transactions }: Pick<Database, 'transactions'>,
  wanted: readonly FileSchedule[],
  { path, dryRun = false }: { readonly path: string; readonly dryRun?: boolean },
): Promise<FileChange[]> {
  const undone = new Error('A dry run is not committed')
  let changes: FileChange[] = []
  const work = async (sql: Sql) => {
    changes = await apply(sql, wanted, path)
    if (dryRun) throw undone
  }
  await transactions.run(work).catch((error: unknown) => {
    if (error !== undone) throw error
  })
  return changes
}

async function apply(sql: Sql, wanted: readonly FileSchedule[], path: string): Promise<FileChange[]> {
  const changes: FileChange[] = []
  const problems: string[] = []
  for (const { name, definition, run } of wanted) {
    try {
      const upserted = await putSchedule(sql, { tenant, name, source: 'file', definition, run })
      if (upserted) changes.push({ name, change: upserted.change })
      else problems.push(`${name}: there is one of this name already, made through the API; delete it first`)
    } catch (error) {
      if (!(error instanceof RecurrenceError)) throw error
      problems.push(`${name}.${error.field}: ${error.message}`)
    }
  }
  if (problems.length > 0) throw bad(path, problems)
  const names = new Set(wanted.map(({ name }) => name))
  for (const { name } of await listSchedules(sql, tenant, { limit: mostOwned, source: 'file' })) {
    if (names.has(name)) continue
    await deleteSchedule(sql, tenant, name, 'file')
    changes.push({ name, change: 'removed' })
  }
  return changes
}

function parseText(text: string, path: string): unknown {
  try {
    const document: unknown = parse(text)
    if (document === null) throw new Error('it is empty; write {} to have no schedules')
    return document
  } catch (error) {
    throw bad(path, [(error as Error).message.split('\n')[0] ?? ''])
  }
}

function bad(path: string, problems: readonly string[]): Error {
  return new Error(`Mend ${path}: ${problems.join('; ')}`)
}
