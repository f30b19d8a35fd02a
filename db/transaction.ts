import type postgres from 'postgres'

/** Thrown when COMMIT was sent and no answer came: the transaction may or may not have happened. */
export class CommitUnknownError extends Error {
  override readonly name = 'CommitUnknownError'
}

/**
 * Runs `work` in a transaction on a connection that is reserved first. Never use the driver's own `begin()`: on a pool that
 * pipelines it can run its statements on a connection it shares (docs/decisions/0004-transactions.md).
 *
 * @returns what `work` returned, after the commit.
 * @throws what `work` threw, after the rollback; CommitUnknownError when the connection was lost during COMMIT.
 */
export async function transaction<T>(pool: postgres.Sql, work: (sql: postgres.ReservedSql) => Promise<T>): Promise<T> {
  const sql = await pool.reserve()
  try {
    await sql`begin`
    const result = await rollbackOnError(sql, work)
    await sql`commit`.catch((error: unknown) => {
      throw new CommitUnknownError('The connection was lost during COMMIT', { cause: error })
    })
    return result
  } finally {
    sql.release()
  }
}

async function rollbackOnError<T>(sql: postgres.ReservedSql, work: (sql: postgres.ReservedSql) => Promise<T>): Promise<T> {
  try {
    return await work(sql)
  } catch (error) {
    await sql`rollback`.catch(() => {})
    throw error
  }
}
