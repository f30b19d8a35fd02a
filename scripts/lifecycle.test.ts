import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { findPostmaster } from '@jobyard/db/embedded-server'
import { describe, inject, it, type TestContext } from 'vitest'
import { createDatabase } from '../testing/postgres.ts'
import { adminKey } from '../testing/platform.ts'
import { createCrowdedUser } from '../testing/crowded-user.ts'
import { startTestRedis } from '../testing/redis.ts'
import { checkout, makeFolder } from '../testing/walkthrough.ts'

type Cleanup = TestContext['onTestFinished']

/** A folder to start programs of the checkout in; whatever they leave is removed at the end of the test. */
async function openFolder(onTestFinished: Cleanup) {
  const folder = await makeFolder()
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const start = (file: string, environment: Record<string, string> = {}) => {
    const env = { PATH: process.env.PATH, LIFECYCLE_TEST: folder, PORT: '0', ...environment }
    const child = spawn(process.execPath, [join(checkout, file)], { cwd: folder, env })
    onTestFinished(() => void child.kill('SIGKILL'))
    let printed = ''
    let onPrinted: () => unknown = () => {}
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        printed += chunk.toString()
        onPrinted()
      })
    }
    return {
      child,
      /** Exit code or signal, and everything that it printed. */
      ended: once(child, 'close').then(([code, signal]) => ({ how: (code ?? signal) as unknown, printed })),
      prints: (words: string) =>
        new Promise<void>((resolve) => {
          onPrinted = () => printed.includes(words) && resolve()
          onPrinted()
        }),
    }
  }
  return { folder, start, left: () => startedIn(folder) }
}

/** @returns the command lines of the processes that were started in the folder, other than Postgres. */
async function startedIn(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const read = async (pid: string, file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
  const found = pids.map(async (pid) =>
    (await read(pid, 'environ')).includes(`LIFECYCLE_TEST=${folder}`) ? [await read(pid, 'cmdline')] : [],
  )
  return (await Promise.all(found)).flat()
}

async function database(onTestFinished: Cleanup): Promise<{ DATABASE_URL: string }> {
  const made = await createDatabase(inject('postgresAdminUrl'))
  onTestFinished(() => made.drop().catch(() => {}))
  return { DATABASE_URL: made.url }
}

/** Takes a port for the length of the test. */
async function takenPort(onTestFinished: Cleanup): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return String((server.address() as AddressInfo).port)
}

const away = { DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/x' }
const keys = { JOBYARD_ADMIN_KEY: adminKey, JOBYARD_SECRET: adminKey }
const starting = 'Starting the API and the workers'

describe.skipIf(process.platform !== 'linux')('npm start', () => {
  it('leaves no process behind when it is killed with −9 while its children start', async ({
    expect,
    onTestFinished,
  }) => {
    const { start, left } = await openFolder(onTestFinished)
    const environment = { ...(await database(onTestFinished)), REDIS_URL: 'redis://127.0.0.1:1' }
    const { child, prints } = start('scripts/start.ts', environment)
    await prints(starting)
    await expect.poll(left, { timeout: 10_000 }).toHaveLength(3)
    child.kill('SIGKILL')
    await expect.poll(left, { timeout: 20_000 }).toEqual([])
  }, 60_000)

  it('ends with 0 at a signal while its children start, and leaves nothing behind', async ({
    expect,
    onTestFinished,
  }) => {
    const { start, left } = await openFolder(onTestFinished)
    const { child, prints, ended } = start('scripts/start.ts', await database(onTestFinished))
    await prints(starting)
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ how: 0 })
    expect(await left()).toEqual([])
  })

  it('stops its Postgres at a signal while that starts', async ({ expect, onTestFinished }) => {
    const { folder, start } = await openFolder(onTestFinished)
    const { child, prints, ended } = start('scripts/start.ts')
    await prints('Starting Postgres')
    child.kill('SIGINT')
    expect(await ended).toMatchObject({ how: 0 })
    expect(await findPostmaster(join(folder, '.jobyard/postgres'))).toBeUndefined()
  })

  it('shows why the API did not start, and ends, although the workers still wait for Redis', async ({
    expect,
    onTestFinished,
  }) => {
    const { start, left } = await openFolder(onTestFinished)
    const PORT = await takenPort(onTestFinished)
    const environment = { ...(await database(onTestFinished)), REDIS_URL: 'redis://127.0.0.1:1', PORT }
    const { how, printed } = await start('scripts/start.ts', environment).ended
    expect(how).toBe(1)
    expect(printed).toContain(`api did not start: listen EADDRINUSE: address already in use 127.0.0.1:${PORT}`)
    expect(await left()).toEqual([])
  })
})

it('The API warns of a Redis that evicts tickets, and works all the same', async ({ expect, onTestFinished }) => {
  const redis = await startTestRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] })
  onTestFinished(() => redis.stop())
  const { start } = await openFolder(onTestFinished)
  const environment = { ...(await database(onTestFinished)), REDIS_URL: redis.url, ...keys }
  const { child, prints, ended } = start('api/main.ts', environment)
  await prints('maxmemory-policy is allkeys-lru. Set it to noeviction')
  await prints('api is up')
  child.kill('SIGTERM')
  expect(await ended).toMatchObject({ how: 0 })
})

describe.concurrent('While a server is away', () => {
  it('npm start says so in one line, and ends', async ({ expect, onTestFinished }) => {
    const { start } = await openFolder(onTestFinished)
    const { how, printed } = await start('scripts/start.ts', away).ended
    expect(how).toBe(1)
    expect(printed).toContain('Postgres at 127.0.0.1:1 (DATABASE_URL) does not answer: ECONNREFUSED\n')
    expect(printed).not.toMatch(/secret|\n\s+at /)
  })

  it('npm start waits for a Postgres that has no connection left', async ({ expect, onTestFinished }) => {
    const { start } = await openFolder(onTestFinished)
    const { url, relieve } = await createCrowdedUser((await database(onTestFinished)).DATABASE_URL, onTestFinished)
    const { prints, ended } = start('scripts/start.ts', { DATABASE_URL: url })
    await prints('has no room')
    await relieve()
    await prints('permission denied') // it is a user who may nothing
    expect(await ended).toMatchObject({ how: 1 })
  })

  it.for([
    ['api', 'Postgres at 127.0.0.1:1 (DATABASE_URL)', async () => away],
    ['workers', 'Postgres at 127.0.0.1:1 (DATABASE_URL)', async () => away],
    [
      'workers',
      'Redis at 127.0.0.1:1 (REDIS_URL)',
      async (cleanup: Cleanup) => ({ ...(await database(cleanup)), REDIS_URL: 'redis://127.0.0.1:1' }),
    ],
  ] as const)('%s: a signal ends the wait for %s with 0', async (row, { expect, onTestFinished }) => {
    const [part, server, servers] = row
    const { start } = await openFolder(onTestFinished)
    const { child, prints, ended } = start(`${part}/main.ts`, { ...(await servers(onTestFinished)), ...keys })
    await prints(`${server} does not answer`)
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ how: 0 })
  })
})
