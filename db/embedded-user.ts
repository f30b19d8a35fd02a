import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { exists } from './embedded-home.ts'

/** Who runs the programs of Postgres. It refuses to run as root, so a root process has to find somebody else. */
export interface ServerUser {
  /** Who must own the data on disk. */
  uid: number
  gid: number
  /** Words before the program's path, e.g. `unshare …`. */
  wrapper: readonly string[]
  /** For `spawn`; empty where the user stays the same. */
  identity: { uid?: number; gid?: number }
}

/** Where the programs and the data are and who runs them. */
export interface Seat {
  binFolder: string
  dataFolder: string
  user: ServerUser
}

interface SeatRequest {
  home: string
  binFolder: string
  dataFolder: string
  /** Where programs and data go if they cannot be used where they are. */
  relocationFolder: string
  onLog: (line: string) => void
}

/** The account without rights: 65534 on every Linux in use. */
const nobody = 65534

/**
 * Decides who runs the server: the first of these who has a name in /etc/passwd, as initdb demands, and can reach programs and data.
 * An ordinary process: itself, or itself in a user namespace, where it passes for nobody towards Postgres but owns what it owned before.
 * Root: the owner of the home (nobody, if that is root), alike; then root in such a namespace, which strips it of its powers except that
 * root's files are its own; then the first again with programs and data copied to where it can reach them.
 * No server may run on the data.
 * @throws if there is no such user, or if the data belongs to somebody else and this process is not root.
 */
export async function chooseSeat(request: SeatRequest): Promise<Seat> {
  const { home, binFolder, dataFolder } = request
  const self = currentUser()
  const isRoot = self.uid === 0
  const account = isRoot ? await accountFor(home) : self
  if (!isRoot) await refuseForeignData(dataFolder, self)
  const candidates = isRoot ? [account, inNamespace(account), inNamespace(self)] : [self, inNamespace(self)]
  const obstacles: string[] = []
  for (const user of candidates) {
    const obstacle = await findObstacle(user, binFolder, dirname(dataFolder))
    if (obstacle === undefined) return { binFolder, dataFolder, user }
    obstacles.push(obstacle)
  }
  if (isRoot && process.platform === 'linux') return relocate(request, account)
  throw new Error(
    `The embedded Postgres cannot run as uid ${self.uid} here: start Jobyard as an ordinary user, or set DATABASE_URL.\n${obstacles.join('\n')}`,
  )
}

/** Hands the data on disk to `user`, if the last start was another's. `chown` takes the folder itself last, so its owner vouches for its content. */
export async function handOver(dataFolder: string, user: ServerUser): Promise<void> {
  const owner = await stat(dataFolder)
  if (owner.uid === user.uid) return
  await runAs(currentUser(), 'chown', ['-R', '-h', `${user.uid}:${user.gid}`, dataFolder])
}

/**
 * Runs a program to its end as `user` and returns what it printed on both streams.
 * @throws if it cannot be started or ends with anything but 0.
 */
export async function runAs(user: ServerUser, program: string, args: readonly string[]): Promise<string> {
  const [command = program, ...words] = [...user.wrapper, program, ...args]
  const child = spawn(command, words, {
    ...user.identity,
    env: serverEnvironment(),
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => output.push(text))
  const [code, signal] = await once(child, 'close')
  if (code !== 0) throw new Error(`${program} ended with ${signal ?? code}:\n${output.join('').trim()}`)
  return output.join('')
}

/** Nothing of the caller's PG… variables and locale reaches the server. */
export function serverEnvironment(): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: process.env['TZ'] ?? 'UTC' }
}

const currentUser = (): ServerUser => ({
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  wrapper: [],
  identity: {},
})

const inNamespace = (user: ServerUser): ServerUser => ({
  ...user,
  wrapper: ['unshare', '--user', `--map-user=${nobody}`, `--map-group=${nobody}`],
})

async function accountFor(home: string): Promise<ServerUser> {
  const owner = await stat(home)
  const identity = owner.uid === 0 ? { uid: nobody, gid: nobody } : { uid: owner.uid, gid: owner.gid }
  return { ...identity, wrapper: [], identity }
}

async function refuseForeignData(dataFolder: string, self: ServerUser): Promise<void> {
  if (!(await exists(dataFolder))) return
  const owner = await stat(dataFolder)
  if (owner.uid === self.uid) return
  throw new Error(
    `${dataFolder} belongs to uid ${owner.uid}, this process runs as ${self.uid}: start as that user, or chown -R it.`,
  )
}

/** Tries out, instead of reckoning with modes, and returns what went wrong, or undefined if nothing did. */
async function findObstacle(user: ServerUser, binFolder: string, folder: string): Promise<string | undefined> {
  const probe = 'id -un && cd "$1" && test -r "$2/../share/postgresql/postgres.bki" && exec "$2/postgres" --version'
  return runAs(user, '/bin/sh', ['-c', probe, 'sh', folder, binFolder]).then(
    () => undefined,
    (error: unknown) => String(error),
  )
}

/** Copies what `account` cannot reach. The home names the new place only once the data there is complete: see rememberMove. */
async function relocate(request: SeatRequest, account: ServerUser): Promise<Seat> {
  const { home, relocationFolder, onLog } = request
  try {
    const binFolder = await copyPrograms(dirname(request.binFolder), relocationFolder)
    const [inPlace, elsewhere] = [dirname(request.dataFolder), relocationFolder]
    if ((await findObstacle(account, binFolder, inPlace)) === undefined) {
      return { binFolder, dataFolder: request.dataFolder, user: account }
    }
    const obstacle = await findObstacle(account, binFolder, elsewhere)
    if (obstacle !== undefined) throw new Error(obstacle)
    const dataFolder = join(await makePassableFolder(relocationFolder, 'home-'), 'postgres')
    if (await exists(request.dataFolder)) await copyData(request.dataFolder, dataFolder, binFolder, account)
    onLog(
      `Postgres may not run as root, and uid ${account.uid} cannot enter ${home}: the data of this home is in ${dataFolder}.`,
    )
    return { binFolder, dataFolder, user: account }
  } catch (cause) {
    throw new Error(
      `Postgres may not run as root, uid ${account.uid} cannot enter ${home} or the checkout, user namespaces are forbidden, and ${relocationFolder} cannot be used instead: ` +
        `start Jobyard as an ordinary user, or set DATABASE_URL. (${String(cause)})`,
      { cause },
    )
  }
}

async function copyPrograms(nativeFolder: string, relocationFolder: string): Promise<string> {
  const version = (await runAs(currentUser(), join(nativeFolder, 'bin/postgres'), ['--version']))
    .trim()
    .split(' ')
    .at(-1)
  const target = join(relocationFolder, `programs-${version}`)
  if (!(await exists(target))) {
    const draft = await makePassableFolder(relocationFolder, 'draft-')
    await runAs(currentUser(), 'cp', ['-RP', `${nativeFolder}/.`, draft])
    await runAs(currentUser(), 'chmod', ['-R', 'a+rX', draft])
    await rename(draft, target).catch(async (error: NodeJS.ErrnoException) => {
      await rm(draft, { recursive: true })
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  }
  return join(target, 'bin')
}

async function copyData(from: string, to: string, binFolder: string, account: ServerUser): Promise<void> {
  await runAs(currentUser(), 'cp', ['-a', from, to])
  await handOver(to, account)
  await runAs(account, join(binFolder, 'initdb'), ['--sync-only', '-D', to])
}

async function makePassableFolder(parent: string, prefix: string): Promise<string> {
  await mkdir(parent, { recursive: true, mode: 0o755 })
  const folder = await mkdtemp(join(parent, prefix))
  await chmod(folder, 0o755)
  return folder
}
