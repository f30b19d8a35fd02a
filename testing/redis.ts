import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { findOrInstall, redisServer } from './programs.ts'

export interface TestRedisOptions {
  /** Further arguments of redis-server, e.g. `['--appendonly', 'yes']`; they win over the defaults. */
  args?: readonly string[]
  /** A port to listen on instead of a free one: to come back under the address of a server that was killed. */
  port?: number
}

export interface TestRedis {
  url: string
  port: number
  /** Ends the server and deletes its folder; further calls are fine. */
  stop(): Promise<void>
  /** Sends a signal, e.g. SIGKILL or SIGSTOP. After one that ends the server, wait with `stop`. */
  kill(signal: NodeJS.Signals): void
}

/**
 * Starts a Redis (or Valkey) of its own, empty, in memory only; returns once it takes connections. It dies with this process.
 * On Debian as root it installs the server if there is none.
 * @throws one line that names the command to run if there is no server, or what the server printed if it does not start.
 */
export async function startTestRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const program = await findOrInstall(redisServer)
  const folder = await mkdtemp(join(tmpdir(), 'jobyard-redis-'))
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await findFreePort())
    const child = await spawnServer(program, serverArgs(port, folder, options.args))
    const failure = await waitUntilReady(child)
    if (failure === undefined) return handleOf(child, port, folder)
    const mayPass = options.port === undefined && attempt < 5 && /Address already in use/.test(failure)
    if (!mayPass) {
      await rm(folder, { recursive: true, force: true })
      throw new Error(`${program} did not start:\n${failure}`)
    }
  }
}

function handleOf(child: ChildProcess, port: number, folder: string): TestRedis {
  const onExit = () => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', onExit)
  const stop = async () => {
    process.off('exit', onExit)
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    }
    await rm(folder, { recursive: true, force: true })
  }
  let stopped: Promise<void> | undefined
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop: () => (stopped ??= stop()),
    kill: (signal) => void child.kill(signal),
  }
}

function serverArgs(port: number, folder: string, extra: readonly string[] = []): string[] {
  const defaults = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction']
  return ['--port', String(port), '--dir', folder, ...defaults, ...extra]
}

/** Where the kernel offers it, the server is killed with this process even if that is killed itself. */
async function spawnServer(program: string, args: readonly string[]): Promise<ChildProcess> {
  const dieWithParent = ['setpriv', '--pdeathsig', 'KILL']
  const [command = program, ...words] = [
    ...((await succeeds([...dieWithParent, 'true'])) ? dieWithParent : []),
    program,
    ...args,
  ]
  return spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Returns undefined once the server takes connections, or what it printed if it ends before. Its output is read on, so that it never blocks. */
async function waitUntilReady(child: ChildProcess): Promise<string | undefined> {
  const printed: string[] = []
  const ready = new Promise<undefined>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue
      createInterface({ input: stream }).on('line', (line) => {
        if (printed.length < 200) printed.push(line)
        if (line.includes('Ready to accept connections')) resolve(undefined)
      })
    }
  })
  const failed = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', () => resolve(printed.join('\n')))
  })
  return Promise.race([ready, failed])
}

async function succeeds([command = '', ...args]: readonly string[]): Promise<boolean> {
  return promisify(execFile)(command, args).then(
    () => true,
    () => false,
  )
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || !address) throw new Error('No free TCP port on 127.0.0.1.')
  return address.port
}
