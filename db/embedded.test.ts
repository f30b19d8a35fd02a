import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import postgres from 'postgres'
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { locatePostgresBinaries } from './embedded-binaries.ts'
import { findDataFolder } from './embedded-home.ts'
import { findPostmaster, stopServer } from './embedded-server.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres, type EmbeddedPostgresOptions } from './embedded.ts'

const isRoot = process.getuid?.() === 0
const nobody = 65534
/** Nobody can run programs of a checkout that only root may enter; there, everything runs as root in a user namespace. */
const othersMayEnter = !isRoot || spawnSync(process.execPath, ['--version'], { uid: nobody }).status === 0
const serverOwner = othersMayEnter ? nobody : 0

describe('the embedded Postgres', () => {
  it('keeps its data, its port and its password from one start to the next', async () => {
    const home = await makeTestHome()
    const first = await start(home)
    await query(first.url, 'create table kept (value int); insert into kept values (7)')
    await first.stop()
    const second = await start(home)
    expect(await query(second.url, 'select value from kept')).toEqual([{ value: 7 }])
    expect(second).toMatchObject({
      url: first.url,
      port: first.port,
      dataFolder: join(home, 'postgres'),
      adopted: false,
    })
  })

  it('is durable by default and takes the settings asked for', async () => {
    const server = await start(await makeUsedHome(), {
      settings: { max_connections: '20', application_name: `it's "quoted" $HOME` },
    })
    const names = [
      'fsync',
      'synchronous_commit',
      'full_page_writes',
      'max_connections',
      'application_name',
      'jit',
      'server_encoding',
    ]
    const columns = names.map((name) => `current_setting('${name}') as ${name}`).join(', ')
    expect(
      await query(
        server.url,
        `select ${columns}, (select datlocale from pg_database where datname = 'postgres') as locale`,
      ),
    ).toEqual([
      expect.objectContaining({
        fsync: 'on',
        synchronous_commit: 'on',
        full_page_writes: 'on',
        max_connections: '20',
        jit: 'off',
        server_encoding: 'UTF8',
        locale: 'C.UTF-8',
      }),
    ])
    expect(await query(server.url, `select reset_val from pg_settings where name = 'cluster_name'`)).toEqual([
      { reset_val: expect.stringMatching(/^jobyard-/) },
    ])
  })

  it('lets nobody in without the password, and hides password and data from other users', async () => {
    const home = await makeUsedHome()
    const server = await start(home)
    const stranger = new URL(server.url)
    for (const password of ['', 'wrong']) {
      stranger.password = password
      await expect(query(stranger.href, 'select 1')).rejects.toThrow(/password/)
    }
    expect(await query(server.url, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }])
    expect(await query(server.url, 'show unix_socket_directories')).toEqual([{ unix_socket_directories: '' }])
    expect(await query(server.url, 'select distinct auth_method from pg_hba_file_rules')).toEqual([
      { auth_method: 'scram-sha-256' },
    ])
    const privateMode = { 'postgres-password': '600', 'postgres.log': '600', postgres: '700' }
    for (const [name, mode] of Object.entries(privateMode)) expect(await modeOf(join(home, name))).toBe(mode)
  })

  it('runs beside another instance without meeting it', async () => {
    const [one, two] = await Promise.all([start(await makeUsedHome()), start(await makeUsedHome())])
    await query(one.url, 'create table only_here ()')
    await one.stop()
    expect(two.port).not.toBe(one.port)
    expect(await query(two.url, `select to_regclass('only_here') as found`)).toEqual([{ found: null }])
  })

  it('refuses a second start while the first one lives, and names it', async () => {
    const home = await makeUsedHome()
    const starts = await Promise.allSettled([start(home), start(home)])
    expect(starts.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    await expect(start(home)).rejects.toThrow(`in use by another start (process ${process.pid})`)
    await expect(startInChild(home)).rejects.toThrow(`in use by another start (process ${process.pid})`)
  })

  it('can be stopped twice, and started again after that', async () => {
    const home = await makeUsedHome()
    const server = await start(home)
    await Promise.all([server.stop(), server.stop()])
    await server.stop()
    await expect(query(server.url, 'select 1')).rejects.toThrow(/ECONNREFUSED/)
    await start(home)
  })

  it('goes elsewhere if its port was taken meanwhile, and stays there', async () => {
    const home = await makeUsedHome()
    const first = await start(home)
    await first.stop()
    const squatter = createServer().listen(first.port, '127.0.0.1')
    await once(squatter, 'listening')
    const second = await start(home)
    squatter.close()
    expect(second.port).not.toBe(first.port)
    await second.stop()
    expect((await start(home)).port).toBe(second.port)
  })

  it('reports what the server wrote if it does not start, and holds nothing back', async () => {
    const home = await makeUsedHome()
    await expect(start(home, { settings: { shared_buffers: 'plenty' } })).rejects.toThrow(
      /invalid value for parameter "shared_buffers"/,
    )
    await start(home)
  })

  it('does not start with a password that is not that of the data, and leaves no server behind', async () => {
    const home = await makeUsedHome()
    await (await start(home)).stop()
    await writeFile(join(home, 'postgres-password'), 'another')
    await expect(start(home)).rejects.toThrow(/password authentication failed/)
    expect(await findPostmaster(join(home, 'postgres'))).toBeUndefined()
  })

  it('names DATABASE_URL where there are no programs for the platform', () => {
    expect(() => locatePostgresBinaries('win32', 'x64')).toThrow(/no embedded Postgres for win32-x64: set DATABASE_URL/)
    expect(() => locatePostgresBinaries('linux', 'riscv64')).toThrow(/DATABASE_URL/)
  })
})

describe('the embedded Postgres after a kill', () => {
  it('is adopted when only Node was killed', async () => {
    const home = await makeUsedHome()
    const { child, url } = await startInChild(home)
    await query(url, 'create table kept ()')
    await killHard(child)
    const before = await findPostmaster(join(home, 'postgres'))
    const server = await start(home)
    expect(server).toMatchObject({ adopted: true, url })
    expect(await findPostmaster(join(home, 'postgres'))).toEqual(before)
    await query(server.url, 'table kept')
    await server.stop()
    expect(await findPostmaster(join(home, 'postgres'))).toBeUndefined()
  })

  it('is restarted, not adopted, when the settings are others', async () => {
    const home = await makeUsedHome()
    const { child } = await startInChild(home)
    await killHard(child)
    const server = await start(home, { settings: { max_connections: '33' } })
    expect(server.adopted).toBe(false)
    expect(await query(server.url, 'show max_connections')).toEqual([{ max_connections: '33' }])
  })

  it('starts again at once when the server was killed too, and has what was committed', async () => {
    const home = await makeUsedHome()
    const first = await start(home)
    await query(first.url, 'create table kept (value int); insert into kept values (7)')
    const busy = query(first.url, `select count(*) from generate_series(1, 1e12::bigint)`).catch(
      (error: unknown) => error,
    )
    const busyQueries = `select 1 from pg_stat_activity where query like '%series(1%' and pid <> pg_backend_pid()`
    await eventually(async () => (await query(first.url, busyQueries)).length > 0)
    process.kill((await findPostmaster(first.dataFolder))!.pid, 'SIGKILL')
    await first.stop()
    const second = await start(home)
    expect(await query(second.url, 'select value from kept')).toEqual([{ value: 7 }])
    expect(second).toMatchObject({ adopted: false, port: first.port })
    await busy
  })

  it.each(['another program', 'a zombie'] as const)('starts although its pid now belongs to %s', async (what) => {
    const home = await makeUsedHome()
    const server = await start(home)
    const pidFile = join(server.dataFolder, 'postmaster.pid')
    const content = await readFile(pidFile, 'utf8')
    process.kill((await findPostmaster(server.dataFolder))!.pid, 'SIGKILL')
    await server.stop()
    await writeFile(pidFile, content.replace(/^\d+/, String(await spawnBystander(what))))
    expect((await start(home)).adopted).toBe(false)
  })

  it('starts after an initdb that was killed half-way, and one that lost its parent', async () => {
    const home = await makeTestHome()
    const child = spawnStarter(home)
    const findDraft = async () => (await readdir(home)).find((name) => name.startsWith('postgres-init-'))
    const draft = join(home, await eventually(findDraft))
    await eventually(async () => (await readdir(draft)).includes('data'))
    await killHard(child)
    const server = await start(home)
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await findDraft()).toBeUndefined()
  })

  it('is not hit by the Ctrl-C that ends its starter', async () => {
    const home = await makeUsedHome()
    const { child, url } = await startInChild(home)
    const exit = once(child, 'exit')
    process.kill(-child.pid!, 'SIGINT')
    await exit
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
  })
})

describe.runIf(isRoot && process.platform === 'linux')('the embedded Postgres of root', () => {
  const canUnshare = spawnSync('/bin/sh', ['-c', `unshare --user --map-user=${nobody} true`]).status === 0

  it('runs as nobody where nobody may enter', async () => {
    const server = await start(await makeUsedHome())
    expect(await ownerOf(server.dataFolder)).toBe(serverOwner)
    expect(await ownerOf(`/proc/${(await findPostmaster(server.dataFolder))!.pid}`)).toBe(serverOwner)
  })

  it.runIf(othersMayEnter)('runs as the owner of the home, so that the owner can go on with it', async () => {
    const home = await makeTestHome()
    await chown(home, 12345, 12345)
    const server = await start(home)
    await query(server.url, 'create table kept ()')
    await server.stop()
    const { url } = await startInChild(home, 12345)
    expect(await query(url, 'table kept')).toEqual([])
  })

  it.runIf(canUnshare)('runs in a folder that only root may enter, and its data follow when that changes', async () => {
    const parent = await makeTestHome()
    await chmod(parent, 0o700)
    const home = join(parent, 'home')
    const first = await start(home)
    await query(first.url, 'create table kept ()')
    expect(await ownerOf(first.dataFolder)).toBe(0)
    await first.stop()
    for (const [mode, owner] of [
      [0o711, serverOwner],
      [0o700, 0],
    ] as const) {
      await chmod(parent, mode)
      const next = await start(home)
      await query(next.url, 'table kept')
      expect(await ownerOf(join(next.dataFolder, 'base'))).toBe(owner)
      await next.stop()
    }
  })

  it('takes programs and data elsewhere where user namespaces are forbidden, and says where', async () => {
    const [parent, relocationFolder] = [await makeTestHome(), await makeTestHome()]
    const home = join(parent, 'home')
    await (await start(home)).stop()
    await chmod(parent, 0o700)
    const lines: string[] = []
    const server = await withoutUserNamespaces(() =>
      start(home, { relocationFolder, onLog: (line) => lines.push(line) }),
    )
    expect(server.dataFolder.startsWith(relocationFolder)).toBe(true)
    expect(lines).toEqual([expect.stringContaining(server.dataFolder)])
    await query(server.url, 'create table kept ()')
    await server.stop()
    const again = await start(home, { relocationFolder })
    await query(again.url, 'table kept')
    expect(again.dataFolder).toBe(server.dataFolder)
  })

  it('asks for DATABASE_URL where there is no such place either', async () => {
    const parent = await makeTestHome()
    await chmod(parent, 0o700)
    const relocationFolder = join(import.meta.filename, 'no folder')
    const impossible = withoutUserNamespaces(() => start(join(parent, 'home'), { relocationFolder }))
    await expect(impossible).rejects.toThrow(/set DATABASE_URL/)
  })
})

describe.runIf(othersMayEnter)('the embedded Postgres of an ordinary user', () => {
  it('runs as that user', async () => {
    const uid = isRoot ? 12345 : process.getuid!()
    const home = await makeTestHome()
    if (isRoot) await chown(home, uid, uid)
    const { url } = await startInChild(home, uid)
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
    for (const name of await readdir(home)) expect(await ownerOf(join(home, name))).toBe(uid)
  })

  it.runIf(isRoot)('asks for DATABASE_URL where that user has neither a name nor user namespaces', async () => {
    const home = await makeTestHome()
    await chown(home, 12345, 12345)
    await expect(withoutUserNamespaces(() => startInChild(home, 12345))).rejects.toThrow(
      /cannot run as uid 12345 .* set DATABASE_URL[^]*cannot find name/,
    )
  })

  it.runIf(isRoot)('does not touch the home of somebody else, and says whose it is', async () => {
    const home = await makeTestHome()
    await expect(startInChild(home, 12345)).rejects.toThrow(/belongs to uid 0, this process runs as 12345/)
    expect(await readdir(home)).toEqual([])
  })
})

let used: Promise<string> | undefined

/** A home that was started and stopped before, with an empty database: a copy, which saves an initdb. */
async function makeUsedHome(): Promise<string> {
  used ??= makeFolder().then(async (home) => {
    const server = await startEmbeddedPostgres({ home, initdbArgs: ['--no-sync'] })
    await server.stop()
    return home
  })
  const home = await makeTestHome()
  spawnSync('cp', ['-a', `${await used}/.`, home])
  await rm(join(home, 'postgres-port'))
  return home
}

afterAll(async () => {
  if (used) await rm(await used, { recursive: true })
})

async function makeFolder(): Promise<string> {
  const parent = (await stat('/dev/shm').catch(() => undefined)) ? '/dev/shm' : tmpdir()
  const folder = await mkdtemp(join(parent, 'jobyard-embedded-'))
  await chmod(folder, 0o711)
  return folder
}

async function makeTestHome(): Promise<string> {
  const home = await makeFolder()
  onTestFinished(async () => {
    for (const each of [home, join(home, 'home')])
      await findDataFolder(each)
        .then(stopServer)
        .catch(() => {})
    await rm(home, { recursive: true, force: true })
  })
  return home
}

async function start(home: string, options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ home, initdbArgs: ['--no-sync'], ...options })
  onTestFinished(() => server.stop())
  return server
}

/** Starts in another Node process, a group leader like a shell's job, which then waits to be killed. */
function spawnStarter(home: string, uid?: number): ChildProcess {
  const program = `
    import { startEmbeddedPostgres } from ${JSON.stringify(new URL('embedded.ts', import.meta.url).href)};
    const { url } = await startEmbeddedPostgres({ home: process.argv[1], initdbArgs: ['--no-sync'] });
    console.log(url);
    setInterval(() => {}, 60_000);`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, home], {
    cwd: '/',
    detached: true,
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid !== undefined && isRoot ? { uid, gid: uid } : {}),
  })
  onTestFinished(() => killHard(child))
  return child
}

async function startInChild(home: string, uid?: number): Promise<{ child: ChildProcess; url: string }> {
  const child = spawnStarter(home, uid)
  let complaint = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  const started = once(createInterface({ input: child.stdout! }), 'line').then(([url]) => ({ child, url: String(url) }))
  const failed = once(child, 'close').then(() => Promise.reject(new Error(complaint)))
  failed.catch(() => {})
  return Promise.race([started, failed])
}

async function killHard(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** Returns the pid of a process that is no Postgres, of the server's user. The zombie stays one: its parent became `sleep`. */
async function spawnBystander(what: 'another program' | 'a zombie'): Promise<number> {
  const script = what === 'a zombie' ? 'sleep 0.3 & echo $!; exec sleep 600' : 'echo $$; exec sleep 600'
  const child = spawn('/bin/sh', ['-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(isRoot ? { uid: nobody, gid: nobody } : {}),
  })
  onTestFinished(() => killHard(child))
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  if (what === 'a zombie') {
    const state = () => spawnSync('ps', ['-o', 'stat=', '-p', String(line)]).stdout.toString()
    await eventually(() => state().startsWith('Z'))
  }
  return Number(line)
}

/** Puts an `unshare` first on the PATH that fails as the real one does where the kernel forbids it. */
async function withoutUserNamespaces<Result>(work: () => Promise<Result>): Promise<Result> {
  const folder = await makeTestHome()
  await mkdir(join(folder, 'bin'))
  await writeFile(
    join(folder, 'bin', 'unshare'),
    '#!/bin/sh\necho "unshare failed: Operation not permitted" >&2\nexit 1\n',
    { mode: 0o755 },
  )
  vi.stubEnv('PATH', `${join(folder, 'bin')}:${process.env['PATH']}`)
  try {
    return await work()
  } finally {
    vi.unstubAllEnvs()
  }
}

const eventually = <Found>(check: () => Found | Promise<Found>) => vi.waitUntil(check, { interval: 3, timeout: 20_000 })

async function query(url: string, text: string): Promise<unknown[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return [...(await sql.unsafe(text))]
  } finally {
    await sql.end({ timeout: 1 })
  }
}

const ownerOf = async (path: string) => (await stat(path)).uid
const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)
