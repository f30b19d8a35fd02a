import { claimJobs } from '@jobyard/db/claim'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { readSchedule } from '@jobyard/db/schedules'
import { settleAttempts } from '@jobyard/db/settle'
import { insertWorker } from '@jobyard/db/worker-rows'
import { newId } from '@jobyard/db/ids'
import { openCarrier, type Carrier } from '@jobyard/queues/carrier'
import { catalogue } from '@jobyard/queues/catalogue'
import { Circuit } from '@jobyard/queues/circuit'
import { Intake } from '@jobyard/queues/intake'
import { TicketSender } from '@jobyard/queues/tickets'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from '../../testing/chromium.ts'
import { openRecord, type TestRecord } from '../../testing/record.ts'
import { addSchedule } from '../../testing/schedules.ts'
import { keeper } from '../callers/caller.ts'
import { Callers } from '../callers/callers.ts'
import { JobActions } from '../job-actions.ts'
import { registerAuth } from '../plugins/auth.ts'
import { registerErrors } from '../plugins/errors.ts'
import { ScheduleActions } from '../schedule-actions.ts'
import { boardRoutes } from './board.ts'

const adminKey = 'board-test-admin-key-of-32-characters'
const authorization = `Basic ${Buffer.from(`me:${adminKey}`).toString('base64')}`

let record: TestRecord
let carrier: Carrier
let intake: Intake
let app: FastifyInstance
const routes: { method: string; url: string }[] = []

beforeAll(async () => {
  record = await openRecord()
  await ensureQueues(record.sql, catalogue.queues)
  carrier = openCarrier({ databaseUrl: record.url, onError: () => {} })
  await carrier.migrate()
  const tickets = new TicketSender(carrier, { contracts: [], onLost: () => {} })
  const circuit = new Circuit({ probe: async () => record.sql`select 1` })
  intake = new Intake({ sql: record.sql, transactions: record.db.transactions, tickets, circuit })
  app = Fastify()
  registerErrors(app)
  const callers = new Callers({ adminKey, sql: record.sql, circuit })
  registerAuth(app, callers)
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) routes.push({ method: each, url })
  })
  const actions = new JobActions({ db: record.db, carrier, intake, tickets, catalogue })
  const { sql } = record
  const schedules = new ScheduleActions({ sql, tickets, jobs: actions })
  await app.register(boardRoutes, { sql, actions, schedules, catalogue, callers })
  await app.ready()
})
afterAll(async () => {
  await app.close()
  await intake.drained()
  await carrier.close()
  await record.close()
})

const get = async (path: string) => app.inject({ url: `/board${path}`, headers: { authorization } })
const put = async (path: string) => app.inject({ method: 'PUT', url: `/board${path}`, headers: { authorization } })

async function failedJob(message = 'The mail server hung up.'): Promise<string> {
  const worker = newId()
  await insertWorker(record.sql, { id: worker, host: 'build-7', pid: 12, queues: ['default'], concurrency: 5 })
  const id = await record.addJob({ input: '{"value":"letter"}' })
  await claimJobs(record.sql, worker, [id])
  const error = { reason: 'handler_error', message }
  await settleAttempts(record.sql, [{ id, epoch: 1, outcome: 'failed', status: 'failed', error }])
  return id
}

async function redrivesOf(id: string): Promise<{ id: string; status: string }[]> {
  return record.sql<{ id: string; status: string }[]>`select id, status from jobs where redrive_of = ${id}`
}

interface BoardQueue {
  name: string
  counts: Record<string, number>
  isPaused: boolean
  jobs: { id: string }[]
  pagination: { pageCount: number }
}

async function queueNamed(name: string, query = ''): Promise<BoardQueue | undefined> {
  const { queues } = (await get(`/api/queues?activeQueue=${name}${query}`)).json<{ queues: BoardQueue[] }>()
  return queues.find((queue) => queue.name === name)
}

describe('the guard', () => {
  it('stands before every route, file and unknown path of the board', async () => {
    const urls = [
      ...routes,
      { method: 'GET', url: '/board/nothing' },
      { method: 'GET', url: '/board/static/favicon.ico' },
    ]
    expect(urls.length).toBeGreaterThan(40)
    for (const { method, url } of urls) {
      const answer = await app.inject({ method: method as 'GET', url: url.replace('*', 'x') })
      expect([method, url, answer.statusCode]).toEqual([method, url, 401])
    }
  })

  it('lets the admin key in, and tells the browser to load nothing from elsewhere', async () => {
    const page = await get('')
    expect(page.statusCode).toBe(200)
    expect(page.body).toContain('<title>Jobyard</title>')
    expect(page.body).not.toContain('https://')
    expect(page.headers['content-security-policy']).toContain("default-src 'self'")
    expect((await get('/static/favicon.ico')).statusCode).toBe(200)
    expect((await get('/nothing')).statusCode).toBe(404)
  })

  it('refuses what another site caused', async () => {
    const headers = { authorization, 'sec-fetch-site': 'cross-site' }
    expect((await app.inject({ url: '/board', headers })).statusCode).toBe(403)
  })
})

describe('the record on the board', () => {
  it('shows counts, pages and a job with its errors and history', async () => {
    const id = await failedJob()
    const queue = await queueNamed('default', '&status=failed&page=1&jobsPerPage=5')
    expect(queue?.counts['failed']).toBeGreaterThan(0)
    expect(queue?.jobs[0]).toMatchObject({ id, failedReason: 'handler_error: The mail server hung up.' })
    expect((await get(`/api/queues/default/${id}`)).json()).toMatchObject({
      status: 'failed',
      job: { name: 'echo', data: { value: 'letter' }, opts: { status: 'failed', attemptsMade: 1 } },
    })
    const logs = (await get(`/api/queues/default/${id}/logs`)).json<string[]>()
    expect(logs).toHaveLength(4)
    expect(logs.at(-1)).toContain('Failed. handler_error: The mail server hung up.')
  })

  it('shows the first jobs of every tab as the latest', async () => {
    const [failed, queued] = [await failedJob(), await record.addJob()]
    const jobs = (await queueNamed('default', '&status=latest'))?.jobs.map((job) => job.id)
    expect(jobs?.slice(0, 2)).toEqual([queued, failed])
  })

  it('shows workers and throughput', async () => {
    await failedJob()
    const { workers } = (await get('/api/queues/default/workers')).json<{ workers: { name: string }[] }>()
    expect(workers.at(-1)?.name).toBe('build-7, process 12: runs 0 of at most 5 jobs')
    const metrics = (await get('/api/queues/default/metrics')).json<{
      failed: { meta: { count: number }; data: number[] }
      completed: { data: number[] }
    }>()
    expect([metrics.failed.meta.count, ...metrics.failed.data].reduce((sum, count) => sum + count)).toBeGreaterThan(0)
    expect(metrics.completed.data).toEqual([])
  })

  it('shows a queue that was entered after the start', async () => {
    await ensureQueues(record.sql, ['latecomers'])
    expect(await queueNamed('latecomers')).toMatchObject({ isPaused: false, jobs: [] })
  })

  it('answers 404 to ids that name no job of the queue', async () => {
    const id = await failedJob()
    for (const path of [`http/${id}`, `default/${newId()}`, 'default/%00', 'default/1']) {
      expect((await get(`/api/queues/${path}`)).statusCode).toBe(404)
    }
    expect((await get(`/api/queues/default/${newId()}/logs`)).json()).toEqual([])
  })
})

describe('the buttons', () => {
  it('redrive a failed job as a new one', async () => {
    const id = await failedJob()
    expect((await put(`/api/queues/default/${id}/retry`)).statusCode).toBe(204)
    expect(await redrivesOf(id)).toMatchObject([{ status: 'queued' }])
    expect((await record.job(id)).status).toBe('failed')
  })

  it('promote a scheduled job, and cancel a queued one', async () => {
    const id = await record.addJob({ delayMs: 60_000 })
    expect((await put(`/api/queues/default/${id}/promote`)).statusCode).toBe(204)
    expect((await record.job(id)).status).toBe('queued')
    expect((await put(`/api/queues/default/${id}/clean`)).statusCode).toBe(204)
    expect((await record.job(id)).status).toBe('cancelled')
  })

  it('say why they cannot when the job is in another status by now', async () => {
    const id = await failedJob()
    const answer = await put(`/api/queues/default/${id}/promote`)
    expect(answer.statusCode).toBe(409)
    expect(answer.json()).toMatchObject({ code: 'conflict', message: expect.stringContaining('this one is failed') })
    expect((await put(`/api/queues/default/${await record.addJob()}/retry`)).statusCode).toBe(400)
  })

  it('pause and resume one queue, or all', async () => {
    const isPaused = async () => (await queueNamed('http'))?.isPaused
    for (const path of ['/api/queues/http', '/api/queues']) {
      expect((await put(`${path}/pause`)).statusCode).toBe(200)
      expect(await isPaused()).toBe(true)
      expect((await put(`${path}/resume`)).statusCode).toBe(200)
      expect(await isPaused()).toBe(false)
    }
  })

  it('run a schedule now, pause it, and let it go on', async () => {
    await addSchedule(record.sql, { name: 'nightly', queue: 'default', rule: { cron: '0 3 * * *' } })
    const shown = async () => {
      const { schedulers } = (await get('/api/job-schedulers')).json<{ schedulers: Record<string, unknown>[] }>()
      return schedulers.find(({ id }) => id === 'nightly')
    }
    expect(await shown()).toMatchObject({ queueName: 'default', name: 'echo', pattern: '0 3 * * *', tz: 'UTC' })
    const press = async (button: string) => put(`/api/queues/default/job-schedulers/nightly/${button}`)
    const { job } = (await press('run')).json<{ job: { id: string } }>()
    expect(await record.job(job.id)).toMatchObject({ status: 'queued', metadata: { schedule: 'nightly' } })
    expect(await shown()).toMatchObject({ lastRunJobId: job.id })
    expect((await press('remove')).statusCode).toBe(204)
    expect(await shown()).toMatchObject({ name: 'echo, paused' })
    expect(await shown()).not.toHaveProperty('next')
    await press('remove')
    expect(await shown()).toMatchObject({ name: 'echo', next: expect.any(Number) })
    expect((await put('/api/queues/default/job-schedulers/none/run')).statusCode).toBe(404)
  })

  it('change when a schedule fires, and nothing else of it', async () => {
    await addSchedule(record.sql, {
      name: 'edited',
      rule: { cron: '0 3 * * *', timeZone: 'Europe/Berlin' },
      priority: 3,
    })
    const url = '/board/api/queues/default/job-schedulers/edited'
    const edit = async (payload: object) => app.inject({ method: 'PATCH', url, headers: { authorization }, payload })
    const stored = async () => readSchedule(record.sql, 'default', 'edited')
    expect((await edit({ pattern: '0 4 * * *' })).statusCode).toBe(204)
    expect((await stored())?.rule).toEqual({ cron: '0 4 * * *', timeZone: 'Europe/Berlin' })
    expect((await stored())?.priority).toBe(3)
    expect((await edit({ every: 60_000 })).statusCode).toBe(204)
    expect((await stored())?.rule).toEqual({ everyMs: 60_000 })
    for (const wrong of [{ pattern: '0 25 * * *' }, { pattern: '0 4 * * *', limit: 3 }]) {
      const answer = await edit(wrong)
      expect(answer.statusCode).toBeGreaterThanOrEqual(400)
      expect(answer.json<{ message: string }>().message).toMatch(/hour|number of runs/)
    }
    expect((await stored())?.rule).toEqual({ everyMs: 60_000 })
  })

  it('do nothing that has no safe meaning', async () => {
    const id = await failedJob()
    const harmless = /\/(pause|resume|retry|promote|clean|job-schedulers\/:schedulerId(\/(remove|run))?)$/
    const changes = routes.filter(({ method, url }) => !['GET', 'HEAD'].includes(method) && !harmless.test(url))
    const forAll = ['/retry/failed', '/clean/failed', '/promote'].map((path) => ({
      method: 'PUT',
      url: `/board/api/queues/default${path}`,
    }))
    expect(changes.length).toBeGreaterThan(10)
    for (const { method, url } of [...changes, ...forAll]) {
      const path = url.replace(':queueName', 'default').replace(':jobId', id)
      const answer = await app.inject({ method: method as 'PUT', url: path, headers: { authorization }, payload: {} })
      expect([url, answer.statusCode]).toEqual([url, 405])
      expect(answer.json<{ message: string }>().message).toMatch(/\.$/)
    }
    expect(await redrivesOf(id)).toEqual([])
    expect((await record.job(id)).status).toBe('failed')
  })
})

it('does not tell what went wrong inside', async () => {
  const broken = Fastify()
  registerErrors(broken)
  registerAuth(broken, new Callers({ adminKey, sql: record.sql, circuit: new Circuit({ probe: async () => {} }) }))
  const sql = (() => {
    throw new Error('select secret from vault')
  }) as unknown as TestRecord['sql']
  const nothing = { actions: {} as JobActions, schedules: {} as ScheduleActions }
  await broken.register(boardRoutes, { sql, ...nothing, catalogue, callers: { whoShows: () => keeper } })
  const answer = await broken.inject({ url: `/board/api/queues/default/${newId()}` })
  expect(answer.statusCode).toBe(500)
  expect(answer.body).not.toMatch(/vault|at .*\.ts/)
  await broken.close()
})

it('speaks our words in every language', async () => {
  const messages = async (language: string) => (await get(`/static/locales/${language}/messages.json`)).json()
  expect(await messages('en-US')).toMatchObject({ QUEUE: { STATUS: { WAITING: 'Queued', COMPLETED: 'Completed' } } })
  expect(await messages('de-DE')).toMatchObject({ JOB: { ACTIONS: { CLEAN: 'Cancel' } } })
  expect((await get('/static/locales/xx/messages.json')).statusCode).toBe(404)
  expect((await get('/static/locales/..%2f..%2f/messages.json')).statusCode).toBe(404)
})

it('works in a browser: log in, read an error, press redrive, see the new job', { timeout: 120_000 }, async () => {
  const id = await failedJob('The printer is on fire.')
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const browser = await launchChromium()
  try {
    const context = await browser.newContext({ httpCredentials: { username: 'me', password: adminKey } })
    const page = await context.newPage()
    const trouble: string[] = []
    page.on('pageerror', (error) => trouble.push(error.message))
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()))

    await page.goto(`${address}/board/queue/default?status=failed`)
    await page.getByText('handler_error: The printer is on fire.').waitFor()
    await page.getByText(id).click()
    await page.getByText('at attempt 1, failed').waitFor()
    await page.getByRole('tab', { name: 'Logs' }).click()
    await page.getByText('Failed. handler_error: The printer is on fire.').waitFor()
    const buttons = page.locator('[class*=jobActions] button:visible')
    expect(await buttons.count()).toBe(1)
    await buttons.click()
    await page.getByText('A new job with the same input is queued').waitFor()
    const redriven = page.waitForResponse((response) => response.url().endsWith(`${id}/retry`))
    await page.getByRole('button', { name: 'Yes' }).click()
    expect((await redriven).status()).toBe(204)

    const [made] = await redrivesOf(id)
    await page.goto(`${address}/board/queue/default/${made?.id}`)
    await page.getByRole('tab', { name: 'Logs' }).click()
    await page.getByText(`Accepted as a redrive of ${id}.`).waitFor()
    await page.goto(`${address}/board/queue/default?status=failed`)
    await page.getByText('Failed, cancelled').waitFor()
    await page.getByText('Throughput (jobs / min').waitFor()
    expect(await page.getByText('Retry all').isVisible()).toBe(false)
    expect(trouble).toEqual([])
  } finally {
    await browser.close()
  }
})
