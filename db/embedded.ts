import { chown, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { locatePostgresBinaries } from './embedded-binaries.ts'
import {
  claimPort,
  exists,
  findDataFolder,
  makeHome,
  readOrMakePassword,
  readPort,
  rememberMove,
  syncFolder,
} from './embedded-home.ts'
import { lockHome } from './embedded-lock.ts'
import {
  clearPidFile,
  clusterNameOf,
  findPostmaster,
  launchServer,
  ServerEnded,
  stopServer,
  waitUntilReady,
} from './embedded-server.ts'
import { chooseSeat, handOver, runAs, type Seat } from './embedded-user.ts'

export interface EmbeddedPostgresOptions {
  /** Folder of this instance; made if missing. The data is under `home/postgres`, the log in `home/postgres.log`. */
  home: string
  /** Server settings, over the defaults. */
  settings?: Record<string, string>
  /** Further arguments of initdb, e.g. `--no-sync` for tests. */
  initdbArgs?: readonly string[]
  /** Gets a line where the user should know about something. */
  onLog?: (line: string) => void
  /** Where programs and data go if root's server user can reach neither home nor checkout; /var/lib/jobyard by default. */
  relocationFolder?: string
}

export interface EmbeddedPostgres {
  /** postgres://… with the superuser's password. */
  url: string
  port: number
  dataFolder: string
  /** The server was running already: the process that started it is gone without having stopped it. */
  adopted: boolean
  /** Ends the server (transactions under way are rolled back) and gives the home free; further calls wait for the same end. */
  stop(): Promise<void>
}

interface Running {
  url: string
  port: number
  dataFolder: string
  adopted: boolean
}

const defaultSettings: Record<string, string> = {
  fsync: 'on',
  synchronous_commit: 'on',
  max_connections: '200',
  shared_buffers: '128MB',
  wal_compression: 'on',
  jit: 'off',
}

const initdbArgs = [
  '--username=postgres',
  '--auth=scram-sha-256',
  '--encoding=UTF8',
  '--locale-provider=builtin',
  // macOS knows no C.UTF-8, so there only Postgres's own locale gets that name.
  ...(process.platform === 'darwin' ? ['--locale=C', '--builtin-locale=C.UTF-8'] : ['--locale=C.UTF-8']),
]

const draftPrefix = 'postgres-init-'

/**
 * Starts a real Postgres of its own for this home, or adopts the one that an earlier, killed process left running with the same settings.
 * It listens on 127.0.0.1 only, on a port that stays the same while it is free, and asks for a password kept in `home/postgres-password`.
 * The server outlives this process unless `stop` is called.
 * @throws if a living process holds the home, if the platform has no embedded Postgres, or with the server's log if it does not start.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const home = await makeHome(options.home)
  const lock = lockHome(home)
  try {
    const running = await bringUp(home, options)
    let stopped: Promise<void> | undefined
    return { ...running, stop: () => (stopped ??= stopServer(running.dataFolder).finally(() => lock.release())) }
  } catch (error) {
    lock.release()
    throw error
  }
}

async function bringUp(home: string, options: EmbeddedPostgresOptions): Promise<Running> {
  const binFolder = locatePostgresBinaries()
  const password = await readOrMakePassword(home)
  const dataFolder = await findDataFolder(home)
  if (await exists(dataFolder)) {
    const adopted = await adopt(home, dataFolder, password, options)
    if (adopted) return adopted
    await stopServer(dataFolder)
    await clearPidFile(dataFolder)
  }
  const onLog = options.onLog ?? (() => {})
  const seat = await chooseSeat({
    home,
    binFolder,
    dataFolder,
    relocationFolder: options.relocationFolder ?? '/var/lib/jobyard',
    onLog,
  })
  if (!(await exists(seat.dataFolder))) await initialise(seat, password, options.initdbArgs ?? [])
  await rememberMove(home, dataFolder, seat.dataFolder)
  await handOver(seat.dataFolder, seat.user)
  const port = await launchOnFreePort(home, seat, options)
  const url = urlOf(port, password)
  try {
    await checkConnection(url, seat.dataFolder)
  } catch (error) {
    await stopServer(seat.dataFolder)
    throw error
  }
  return { url, port, dataFolder: seat.dataFolder, adopted: false }
}

/** Takes over a running server if it is this home's, runs with the settings asked for, and lets us in. */
async function adopt(
  home: string,
  dataFolder: string,
  password: string,
  options: EmbeddedPostgresOptions,
): Promise<Running | undefined> {
  const port = await readPort(home)
  const postmaster = await findPostmaster(dataFolder)
  if (!port || !postmaster) return undefined
  const args = await serverArgs(dataFolder, port, options.settings)
  if (!postmaster.command.endsWith(args.join(' '))) return undefined
  const url = urlOf(port, password)
  const isAlive = async () => (await findPostmaster(dataFolder))?.pid === postmaster.pid
  try {
    await waitUntilReady(dataFolder, postmaster.pid, isAlive)
    await checkConnection(url, dataFolder)
    return { url, port, dataFolder, adopted: true }
  } catch {
    return undefined
  }
}

/** Makes the data folder beside its final place first: an initdb that is killed half-way leaves nothing that looks like data. */
async function initialise(seat: Seat, password: string, extraArgs: readonly string[]): Promise<void> {
  const { binFolder, dataFolder, user } = seat
  const parent = dirname(dataFolder)
  await removeDrafts(parent)
  const draft = await mkdtemp(join(parent, draftPrefix))
  try {
    const passwordFile = join(draft, 'password')
    await writeFile(passwordFile, password, { mode: 0o600 })
    for (const path of [passwordFile, draft]) await chown(path, user.uid, user.gid)
    await runAs(user, join(binFolder, 'initdb'), [
      ...initdbArgs,
      `--pwfile=${passwordFile}`,
      ...extraArgs,
      '-D',
      join(draft, 'data'),
    ])
    await rename(join(draft, 'data'), dataFolder)
    await syncFolder(parent)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

async function removeDrafts(parent: string): Promise<void> {
  const drafts = (await readdir(parent)).filter((name) => name.startsWith(draftPrefix))
  // An orphaned initdb may still be writing there, hence the retries.
  for (const name of drafts) await rm(join(parent, name), { recursive: true, force: true, maxRetries: 10 })
}

/** Starts the server on the port of the last start or a new one; a port lost to a race and remains of a killed server get ten seconds. */
async function launchOnFreePort(home: string, seat: Seat, options: EmbeddedPostgresOptions): Promise<number> {
  const deadline = Date.now() + 10_000
  let wanted = await readPort(home)
  for (;;) {
    const port = await claimPort(home, wanted)
    try {
      await launchServer(seat, await serverArgs(seat.dataFolder, port, options.settings), home)
      return port
    } catch (error) {
      const mayPass = error instanceof ServerEnded && (error.portTaken || error.dataInUse)
      if (!mayPass || Date.now() > deadline) throw error
      wanted = error.portTaken ? undefined : port
      await delay(100)
    }
  }
}

async function serverArgs(dataFolder: string, port: number, settings: Record<string, string> = {}): Promise<string[]> {
  const all = {
    ...defaultSettings,
    ...settings,
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    cluster_name: await clusterNameOf(dataFolder),
  }
  return ['-D', dataFolder, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}

const urlOf = (port: number, password: string) => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`

/** @throws if the password is not let in, or if another server answers at this address. */
async function checkConnection(url: string, dataFolder: string): Promise<void> {
  const sql = postgres(url, { max: 1, connect_timeout: 10 })
  try {
    const [row] = await sql`select current_setting('data_directory') as folder`
    if (row?.['folder'] !== dataFolder) throw new Error(`Another Postgres answers at the address of ${dataFolder}.`)
  } finally {
    await sql.end({ timeout: 1 })
  }
}
