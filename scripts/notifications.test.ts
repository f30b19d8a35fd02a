import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { checkout, makeFolder, paste, readBlocks, startProgram, type StartedProgram } from '../testing/walkthrough.ts'

/** For machines that run all tests at once. */
const patient = { timeout: 10_000 }

const blocks = readBlocks(await readFile(join(checkout, 'docs/notifications.md'), 'utf8'))
const commands = blocks
  .filter(({ language, text }) => language === 'sh' && text.includes('curl'))
  .map(({ text }) => text)
const [create = '', test = '', rotate = '', list = '', read = '', replay = '', redeliver = '', redeliverMany = ''] =
  commands
const [followAll = '', followJob = ''] = commands.slice(8)
const shownEvent = JSON.parse(blocks.find(({ language }) => language === 'json')?.text ?? '')

/** A start takes about three seconds; on a machine that runs all tests at once, several times that. */
const longestMs = 60_000
const since = new Date(Date.now() - 3_600_000).toISOString()

let folder: string
let receiverPort: number
let configuration: Record<string, string>
let program: StartedProgram
let endpoint: { id: string; secret: string }
const children: ChildProcess[] = []
beforeAll(async () => {
  folder = await makeFolder()
  for (const { file, text } of blocks) if (file) await writeFile(join(folder, file), text, { flag: 'wx' })
  await symlink(join(checkout, 'node_modules'), join(folder, 'node_modules'))
  receiverPort = await freePort()
  configuration = { OUTBOUND_ALLOW: `127.0.0.1:${receiverPort}`, PORT: String(await freePort()) }
  program = await startProgram(folder, undefined, configuration)
  endpoint = await call(create)
}, longestMs)
afterAll(async () => {
  for (const child of children) child.kill()
  await program?.interrupt()
  await rm(folder, { recursive: true, force: true })
})

/** Runs lines of the page, whose variables have these values. */
const answer = (lines: string, values: Record<string, string> = {}) => {
  const assignments = Object.entries({ ENDPOINT: endpoint?.id ?? '', SINCE: since, ...values })
  const settings = assignments.map(([name, value]) => `${name}=${value}\n`).join('')
  return paste(settings + lines.replaceAll('127.0.0.1:4000', `127.0.0.1:${receiverPort}`), {
    folder,
    host: program.host,
  })
}
const call = async (lines: string, values?: Record<string, string>) => JSON.parse(await answer(lines, values))

async function submit(): Promise<string> {
  const key = (await readFile(join(folder, '.jobyard/admin-key'), 'utf8')).trim()
  const accepted = await fetch(`http://${program.host}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', prefer: 'wait=20' },
    body: JSON.stringify({ type: 'echo', input: { value: 1 } }),
  })
  return ((await accepted.json()) as { id: string }).id
}

/** Runs a program of the page. @returns what it prints. */
function run(file: string, environment: Record<string, string>): () => string {
  const child = spawn(process.execPath, [file], { cwd: folder, env: environment })
  children.push(child)
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  return () => printed
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

it(
  'The receiver of the page takes what is sent, once, and the log tells of it',
  async () => {
    const printed = run('receiver.mjs', { WEBHOOK_SECRET: endpoint.secret, PORT: String(receiverPort) })
    const delivery = await call(test)
    expect(delivery).toMatchObject({ endpointId: endpoint.id, eventType: 'endpoint.test' })
    await expect.poll(printed, { timeout: 15_000 }).toContain(`endpoint.test ${endpoint.id}`)
    const job = await submit()
    await expect.poll(printed, { timeout: 15_000 }).toContain(`job.completed ${job}`)
    await expect.poll(async () => (await call(list)).items.length, patient).toBe(2)
    const [newest] = (await call(list)).items
    const values = { DELIVERY: newest.id }
    await expect.poll(async () => (await call(read, values)).attempts, patient).toMatchObject([{ httpStatus: 204 }])
    expect(await call(redeliver, values)).toMatchObject({ redeliveryOf: newest.id, eventId: job })
    await expect.poll(async () => (await call(`${list}`)).items[0].status, patient).toBe('completed')
    expect(printed().split(`job.completed ${job}`)).toHaveLength(2)
    expect(await call(redeliverMany)).toEqual({ deliveries: 0 })
    expect(await call(replay)).toMatchObject({ events: 1, complete: true, endpoint: { id: endpoint.id } })
  },
  longestMs,
)

it('Verifying by hand agrees with the library, and with what is sent while the secret changes', async () => {
  const { verify } = (await import(pathToFileURL(join(folder, 'verify.mjs')).href)) as {
    verify: (secret: string, headers: Record<string, string>, body: string) => unknown
  }
  const { Webhook } = await import('standardwebhooks')
  const [{ secret: old }, { secret }] = [endpoint, await call(rotate)]
  const body = JSON.stringify(shownEvent)
  const now = new Date()
  const sign = (key: string, at = now) => ({
    'webhook-id': 'x',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': `${new Webhook(secret).sign('x', at, body)} ${new Webhook(key).sign('x', at, body)}`,
  })
  expect(verify(secret, sign(old), body)).toEqual(shownEvent)
  expect(verify(old, sign(old), body)).toEqual(shownEvent)
  expect(() => verify(old, sign(secret), body)).toThrow('Not signed')
  expect(() => verify(secret, sign(old), `${body} `)).toThrow('Not signed')
  expect(() => verify(secret, { ...sign(old), 'webhook-signature': 'v1,' }, body)).toThrow('Not signed')
  expect(() => verify(secret, {}, body)).toThrow('Too old')
  expect(() => verify(secret, sign(old, new Date(Date.now() - 301_000)), body)).toThrow('Too old')
})

it(
  'The streams of the page tell the events that it shows',
  async () => {
    const job = await submit()
    const told = await answer(followJob, { JOB: job })
    const { data } = /^event: job\.completed\ndata: (?<data>.*)$/m.exec(told)?.groups ?? {}
    const event = JSON.parse(data ?? '{}')
    expect(shapeOf(event)).toEqual(shapeOf(shownEvent))
    expect(event).toMatchObject({ type: shownEvent.type, version: shownEvent.version, data: { id: job } })

    const all = await answer(followAll.replace('curl -sN', 'timeout 3 curl -sN').trimEnd() + ' || true')
    expect(all).toContain(`"id":"${job}"`)

    expect(commands).toHaveLength(10)
  },
  longestMs,
)

it(
  'The client of the page misses nothing, and gets nothing twice, when the platform starts anew',
  async () => {
    const key = (await readFile(join(folder, '.jobyard/admin-key'), 'utf8')).trim()
    const printed = run('follow.mjs', { STREAM_URL: `http://${program.host}/v1/events`, JOBYARD_KEY: key })
    const seen: string[] = []
    const isFollowing = async () => {
      seen.push(await submit())
      await expect.poll(printed, patient).toContain(seen.at(-1))
      return true
    }
    await expect.poll(isFollowing, { timeout: 20_000 }).toBe(true)
    await program.interrupt()
    program = await startProgram(folder, undefined, configuration)
    const [first, second] = [await submit(), await submit()]
    await expect.poll(printed, { timeout: 10_000 }).toContain(second)
    for (const id of [seen.at(-1), first, second]) expect(printed().split(` id: '${id}'`)).toHaveLength(2)
  },
  longestMs,
)

/** Replaces every value by its type. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]))
}
