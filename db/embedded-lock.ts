import { chownSync, closeSync, openSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { hasCode } from './embedded-home.ts'

export interface HomeLock {
  /** Gives the home free; calling it twice is fine. */
  release(): void
}

/**
 * Takes a home for this process, without waiting. Node has no file locks, SQLite does: an open write transaction is a lock
 * that the kernel drops when its process dies, however it dies, so that none can be left behind and none needs breaking.
 * @throws if a living process, which may be this one, holds the home; the message names its pid.
 */
export function lockHome(home: string): HomeLock {
  const file = join(home, 'postgres.lock')
  makePrivateFile(file, home)
  const database = new DatabaseSync(file, { timeout: 0 })
  try {
    database.exec('begin immediate')
    // The pid goes into the file's header for the message below; then the lock is taken again, which lets readers through.
    database.exec(`pragma busy_timeout = 1000; pragma user_version = ${process.pid}; commit; begin immediate`)
  } catch (cause) {
    const message = isBusy(cause) ? inUseMessage(home, database) : `Cannot lock ${file}: ${String(cause)}`
    database.close()
    throw new Error(message, { cause })
  }
  return { release: () => database.isOpen && database.close() }
}

/**
 * The file is made here, not by SQLite, for its mode and owner. An existing file must not be opened by anything but SQLite:
 * closing any other descriptor of it would drop the locks of this process.
 */
function makePrivateFile(file: string, home: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return
    throw error
  }
  const owner = statSync(home)
  if (owner.uid !== process.getuid?.()) chownSync(file, owner.uid, owner.gid)
}

function isBusy(error: unknown): boolean {
  const sqliteBusy = 5
  return error instanceof Error && 'errcode' in error && error.errcode === sqliteBusy
}

function inUseMessage(home: string, database: DatabaseSync): string {
  const holder = readHolder(database)
  const by = holder === undefined ? '' : ` (process ${holder})`
  return `The embedded Postgres in ${home} is already in use by another start${by}: stop that one first, or choose another JOBYARD_HOME.`
}

function readHolder(database: DatabaseSync): number | undefined {
  try {
    const pid = database.prepare('pragma user_version').get()?.['user_version']
    return typeof pid === 'number' ? pid : undefined
  } catch {
    return undefined
  }
}
