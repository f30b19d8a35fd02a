import { errorCode, isRowError, isServerTrouble } from '@jobyard/db/connect'
import { CommitUnknownError, ConnectionLostError } from '@jobyard/db/transaction'

const transactionAborted = '25P02'

/** Thrown when a statement of the platform's own failed in a handler's transaction, and none of its rows is to blame. */
class InterruptedError extends Error {
  override readonly name = 'InterruptedError'
}

/**
 * Waits for statements of the platform's own in a handler's transaction, which are not the handler's to answer for.
 *
 * @throws InterruptedError; the driver's error where a row cannot be stored, or the handler went on after a statement had failed.
 */
export async function unlessInterrupted<Result>(statements: Promise<Result>): Promise<Result> {
  return statements.catch((error: unknown) => {
    const code = errorCode(error)
    if (code === '' || code === transactionAborted || isRowError(error)) throw error
    throw new InterruptedError('Postgres did not settle', { cause: error })
  })
}

/**
 * Finds out whether Postgres, and not the handler, is to blame for a transaction that came to nothing.
 *
 * @returns `unknown` when only the record can tell whether it was committed, `interrupted` when it was rolled back, or undefined.
 */
export function interruptionBy(error: unknown): 'unknown' | 'interrupted' | undefined {
  if (error instanceof CommitUnknownError || error instanceof ConnectionLostError) return 'unknown'
  return error instanceof InterruptedError || isServerTrouble(error) ? 'interrupted' : undefined
}
