import { errorCode, type Sql } from './connect.ts'
import journal from './migrations/meta/_journal.json' with { type: 'json' }

const undefinedTable = '42P01'

/**
 * Refuses to go on with a schema that is older than this code.
 *
 * @throws Error that names the command to run.
 */
export async function checkSchema(sql: Sql): Promise<void> {
  const newest = Math.max(...journal.entries.map(({ when }) => when))
  if ((await newestApplied(sql)) < newest) {
    throw new Error('The schema of the database is older than this version of Jobyard: run `npm run migrate` first.')
  }
}

/** @returns when the newest applied migration was made, in epoch milliseconds; 0 when there is none. */
async function newestApplied(sql: Sql): Promise<number> {
  try {
    const [row] = await sql<
      { newest: number }[]
    >`select coalesce(max(created_at), 0)::float8 as newest from schema_migrations`
    return row?.newest ?? 0
  } catch (error) {
    if (errorCode(error) === undefinedTable) return 0
    throw error
  }
}
