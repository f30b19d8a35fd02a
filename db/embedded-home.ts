import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'

const logLimitBytes = 16 * 1024 * 1024

/*
 * What a home holds: postgres/ the data · postgres.log · postgres.lock · postgres-password · postgres-port ·
 * postgres-location, only where the data had to go elsewhere: the path of the data folder.
 */

/**
 * Makes the home if it is missing and returns its real path. A home made by root may be passed through (not listed) by others,
 * since the server then runs as another user; the secrets in it are files of mode 0600.
 * @throws if it belongs to somebody else and this process is not root.
 */
export async function makeHome(folder: string): Promise<string> {
  const uid = process.getuid?.()
  await mkdir(folder, { recursive: true, mode: uid === 0 ? 0o711 : 0o700 })
  const owner = await stat(folder)
  if (uid !== 0 && owner.uid !== uid) {
    throw new Error(
      `${folder} belongs to uid ${owner.uid}, this process runs as ${uid}: start as that user, chown -R it, or choose another JOBYARD_HOME.`,
    )
  }
  return realpath(folder)
}

/**
 * Returns where the data of this home is, or would be: it need not exist yet.
 * @throws if the data was moved elsewhere and is gone from there.
 */
export async function findDataFolder(home: string): Promise<string> {
  const elsewhere = await readFromHome(home, 'postgres-location')
  if (elsewhere === undefined) return join(home, 'postgres')
  if (await exists(elsewhere)) return elsewhere
  throw new Error(
    `The Postgres data of ${home} is missing from ${elsewhere}: bring it back, or delete ${home}/postgres-location to start with an empty database.`,
  )
}

/** Records durably that the data moved, and deletes what is left in the old place. Nothing happens if it did not move. */
export async function rememberMove(home: string, from: string, to: string): Promise<void> {
  if (from === to) return
  await syncFolder(dirname(to))
  await syncFolder(dirname(dirname(to)))
  await keepInHome(home, 'postgres-location', to)
  await rm(from, { recursive: true, force: true })
}

/** Returns the superuser's password, made on the first call for this home. */
export async function readOrMakePassword(home: string): Promise<string> {
  const kept = await readFromHome(home, 'postgres-password')
  if (kept) return kept
  const password = randomBytes(24).toString('base64url')
  await keepInHome(home, 'postgres-password', password)
  return password
}

/** Returns the port of the last start, or undefined before the first. */
export async function readPort(home: string): Promise<number | undefined> {
  const port = Number(await readFromHome(home, 'postgres-port'))
  return Number.isInteger(port) && port > 0 && port < 65536 ? port : undefined
}

/** Returns `wanted` if it is free on 127.0.0.1, else another free port, and keeps it for the next start. */
export async function claimPort(home: string, wanted: number | undefined): Promise<number> {
  const port = (wanted && (await probePort(wanted))) || (await probePort(0))
  if (!port) throw new Error('No free TCP port on 127.0.0.1 for the embedded Postgres.')
  if (port !== wanted) await keepInHome(home, 'postgres-port', String(port))
  return port
}

/** Opens the server's log at its end; one of more than 16 MiB is put aside as `postgres.log.1` first. */
export async function openLog(home: string): Promise<FileHandle> {
  const file = logFileOf(home)
  if ((await exists(file)) && (await stat(file)).size > logLimitBytes) await rename(file, `${file}.1`)
  return openPrivately(home, file, 'a')
}

export const logFileOf = (home: string) => join(home, 'postgres.log')

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/** Tells whether a system call failed with this code. (`errorCode` of connect.ts would load drizzle along.) */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

/** Makes names in a folder as durable as the files behind them. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function readFromHome(home: string, name: string): Promise<string | undefined> {
  try {
    return (await readFile(join(home, name), 'utf8')).trim()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Replaces a small private file as a whole and durably. */
async function keepInHome(home: string, name: string, content: string): Promise<void> {
  const draft = join(home, `${name}.draft`)
  await rm(draft, { force: true })
  const handle = await openPrivately(home, draft, 'w')
  try {
    await handle.writeFile(`${content}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, join(home, name))
  await syncFolder(home)
}

/** A file so opened belongs to the owner of the home, also when root makes it. */
async function openPrivately(home: string, file: string, flags: 'a' | 'w'): Promise<FileHandle> {
  const handle = await open(file, flags, 0o600)
  const owner = await stat(home)
  if (owner.uid !== process.getuid?.()) await handle.chown(owner.uid, owner.gid)
  return handle
}

/** Returns the port if it could be bound (0 asks for any free one), else undefined. */
async function probePort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined))
    })
  })
}
