import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readVariable } from '@jobyard/queues/configuration'

/** Only the owner may read what a home holds. */
const privateFile = 0o600
/** Size from which a log is set aside at the next start, in bytes. */
const logLimitBytes = 20 * 1_048_576

/** The folder that holds an installation's data and keys. */
export interface Home {
  readonly folder: string
  readonly adminKey: string
  readonly secret: string
}

/**
 * Opens an installation's folder, making it and its keys where they are missing. Keys that are set in the environment win.
 *
 * @throws when the folder cannot be made or written to.
 */
export async function openHome(folder: string, environment: NodeJS.ProcessEnv): Promise<Home> {
  await mkdir(folder, { recursive: true })
  return {
    folder,
    adminKey: readVariable('JOBYARD_ADMIN_KEY', environment) ?? (await keptKey(join(folder, 'admin-key'))),
    secret: readVariable('JOBYARD_SECRET', environment) ?? (await keptKey(join(folder, 'secret'))),
  }
}

/** @returns the key in the file, made at the first call: 256 random bits. */
async function keptKey(file: string): Promise<string> {
  const draft = `${file}.${process.pid}`
  await writeFile(draft, `${randomBytes(32).toString('base64url')}\n`, { mode: privateFile })
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft)
  }
  return (await readFile(file, 'utf8')).trim()
}

/** @returns path of a process's log; one that has grown large is kept as `.1`. */
export async function logFile(home: Home, name: string): Promise<string> {
  const file = join(home.folder, `${name}.log`)
  const size = await stat(file).then(
    ({ size: bytes }) => bytes,
    () => 0,
  )
  if (size > logLimitBytes) await rename(file, `${file}.1`)
  return file
}
