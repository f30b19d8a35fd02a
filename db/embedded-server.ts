import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { hasCode, logFileOf, openLog } from './embedded-home.ts'
import { serverEnvironment, type Seat } from './embedded-user.ts'

/** A server that ended before it took connections. */
export class ServerEnded extends Error {
  override readonly name = 'ServerEnded'
  readonly log: string

  constructor(log: string, reason: string) {
    super(`The embedded Postgres did not start (${reason}):\n${log.trim()}`)
    this.log = log
  }

  /** Something else listens on its port. */
  get portTaken(): boolean {
    return /could not bind|could not create any TCP\/IP sockets/.test(this.log)
  }

  /** Processes of a killed server are not quite gone; it passes. */
  get dataInUse(): boolean {
    return /lock file "postmaster\.pid" already exists|pre-existing shared memory block/.test(this.log)
  }
}

interface ServerProcess {
  pid: number
  command: string
}

const recoveryLimitMs = 600_000
const stopLimitMs = 60_000
const pollMs = 20

/**
 * The name by which the processes of a data folder are known: the server shows it in each one's title. Made of the folder's inode,
 * so that it stays through a rename and differs for a copy.
 */
export async function clusterNameOf(dataFolder: string): Promise<string> {
  const { dev, ino } = await stat(dataFolder)
  return `jobyard-${dev}-${ino}`
}

/** Returns the main process that serves a data folder, or undefined. A pid file whose pid went to another program counts for nothing. */
export async function findPostmaster(dataFolder: string): Promise<ServerProcess | undefined> {
  const pid = (await readPidFile(dataFolder))?.pid
  const command = pid && (await readCommand(pid))
  if (!command || !isPostmaster(command, await clusterNameOf(dataFolder))) return undefined
  return { pid, command }
}

/**
 * Starts the server apart from this process (own session, so no Ctrl-C of the terminal reaches it) and returns once it takes connections.
 * @throws ServerEnded if it gives up, with what it wrote to its log.
 */
export async function launchServer(seat: Seat, args: readonly string[], home: string): Promise<void> {
  const log = await openLog(home)
  try {
    const logStart = (await log.stat()).size
    const child = spawnServer(seat, args, log.fd)
    const end = watchEnd(child)
    const ready = await waitUntilReady(seat.dataFolder, child.pid, () => end.reason === undefined)
    if (ready) return
    child.kill('SIGINT')
    throw new ServerEnded(await readFrom(logFileOf(home), logStart), end.reason ?? 'it took too long')
  } finally {
    await log.close()
  }
}

/**
 * Waits until the server with this pid takes connections, e.g. through its recovery from a crash.
 * @returns false when it is not alive any more, or after ten minutes.
 */
export async function waitUntilReady(
  dataFolder: string,
  pid: number | undefined,
  isAlive: () => boolean | Promise<boolean>,
): Promise<boolean> {
  const deadline = Date.now() + recoveryLimitMs
  while (Date.now() < deadline && (await isAlive())) {
    const pidFile = await readPidFile(dataFolder)
    if (pidFile?.pid === pid && pidFile?.status === 'ready') return true
    await delay(pollMs)
  }
  return false
}

/**
 * Ends the server of a data folder: transactions are rolled back, clients disconnected, a checkpoint written. No server is fine.
 * Processes that a killed server left running are ended at once; recovery follows in any case.
 * The signals are sent from here, as `pg_ctl stop -m fast` would: that needs the server's user and programs, which a later start may lack.
 * @throws if its processes are still there after a minute.
 */
export async function stopServer(dataFolder: string): Promise<void> {
  const clusterName = await clusterNameOf(dataFolder)
  const deadline = Date.now() + stopLimitMs
  const asked = new Set<number>()
  for (;;) {
    const processes = await findProcesses(clusterName)
    if (processes.length === 0) return
    if (Date.now() > deadline) {
      throw new Error(`Processes of the embedded Postgres do not end: ${processes.map(({ pid }) => pid).join(', ')}.`)
    }
    const postmasters = processes.filter(({ command }) => isPostmaster(command, clusterName))
    for (const { pid } of postmasters) {
      if (!asked.has(pid)) sendSignal(pid, 'SIGINT')
      asked.add(pid)
    }
    if (postmasters.length === 0) for (const { pid } of processes) sendSignal(pid, 'SIGQUIT')
    await delay(pollMs)
  }
}

/**
 * Removes a killed server's pid file if another program has that pid by now, or a zombie; Postgres would take either for a living server.
 * No server may run on the data.
 */
export async function clearPidFile(dataFolder: string): Promise<void> {
  const pid = (await readPidFile(dataFolder))?.pid
  if (pid && (await readCommand(pid)) !== undefined) await rm(join(dataFolder, 'postmaster.pid'))
}

const isPostmaster = (command: string, clusterName: string) => command.includes(`cluster_name=${clusterName}`)

function spawnServer(seat: Seat, args: readonly string[], logFd: number): ChildProcess {
  const [command = '', ...words] = [...seat.user.wrapper, join(seat.binFolder, 'postgres'), ...args]
  const child = spawn(command, words, {
    ...seat.user.identity,
    env: serverEnvironment(),
    cwd: '/',
    detached: true,
    stdio: ['ignore', logFd, logFd],
  })
  child.unref()
  return child
}

function watchEnd(child: ChildProcess): { reason: string | undefined } {
  const end: { reason: string | undefined } = { reason: undefined }
  child.once('exit', (code, signal) => (end.reason = `it ended with ${signal ?? code}`))
  child.once('error', (error) => (end.reason = error.message))
  return end
}

/** Line 1 of the pid file is the pid, line 8 the status. A file that is being written may have less. */
async function readPidFile(dataFolder: string): Promise<{ pid: number; status: string | undefined } | undefined> {
  const text = await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const lines = text.split('\n')
  const pid = Number(lines[0])
  return Number.isInteger(pid) && pid > 1 ? { pid, status: lines[7]?.trim() } : undefined
}

async function findProcesses(clusterName: string): Promise<ServerProcess[]> {
  const processes = await listProcesses()
  return processes.filter(
    ({ command }) => isPostmaster(command, clusterName) || command.startsWith(`postgres: ${clusterName}: `),
  )
}

async function listProcesses(): Promise<ServerProcess[]> {
  if (process.platform !== 'linux') return listProcessesByPs()
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const processes = await Promise.all(pids.map(async (pid) => ({ pid, command: (await readCommand(pid)) ?? '' })))
  return processes.filter(({ command }) => command !== '')
}

/** Returns a process's command line, '' for a zombie, undefined if there is no such process or it is hidden. */
async function readCommand(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return (await listProcessesByPs()).find((each) => each.pid === pid)?.command
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').join(' ').trim()
  } catch {
    return undefined
  }
}

async function listProcessesByPs(): Promise<ServerProcess[]> {
  const { stdout } = await promisify(execFile)('ps', ['-axww', '-o', 'pid=,stat=,command='], {
    maxBuffer: 64 * 1024 * 1024,
  })
  return stdout.split('\n').flatMap((line) => {
    const [, pid, state, command = ''] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? []
    return pid ? [{ pid: Number(pid), command: state?.startsWith('Z') ? '' : command.trim() }] : []
  })
}

function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}

async function readFrom(file: string, start: number): Promise<string> {
  return (await readFile(file)).subarray(start).toString('utf8')
}
