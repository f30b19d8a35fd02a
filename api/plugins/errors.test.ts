import { connect } from '@jobyard/db/connect'
import { DeadlineError } from '@jobyard/queues/deadline'
import { RecordAwayError } from '@jobyard/queues/errors'
import { pino } from 'pino'
import { expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { listenOn } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'
import { openRecord } from '../../testing/record.ts'
import { Problem, unavailable } from '../problem.ts'
import { fieldErrors, problemLog, problemOf } from './errors.ts'

const hello = { type: 'echo', input: { value: 1 } }

/** An API on this database, without workers. */
async function openApi(databaseUrl: string) {
  const db = connect(databaseUrl, { applicationName: 'errors' })
  onTestFinished(() => db.close())
  const { app } = await listenOn(db, databaseUrl)
  return async (method: 'GET' | 'POST', url: string, payload?: object, more: Record<string, string> = {}) => {
    const headers = { authorization: `Bearer ${adminKey}`, ...more }
    const answer = await app.inject({ method, url, headers, ...(payload && { payload }) })
    return { status: answer.statusCode, retryAfter: answer.headers['retry-after'], body: answer.json() }
  }
}

it.each([
  ['GET', '/v1/jobs', undefined, /Ask again/],
  ['GET', '/v1/queues', undefined, /Ask again/],
  ['POST', '/v1/jobs', hello, /nothing of it was stored.*Idempotency-Key/],
  ['POST', '/v1/queues/default/pause', undefined, /nothing of it was stored/],
] as const)('%s %s tells what to do when the name of Postgres is unknown', async (method, path, body, sentence) => {
  const call = await openApi('postgres://me@nowhere.invalid/x')
  expect(await call(method, path, body)).toEqual({
    status: 503,
    retryAfter: '1',
    body: expect.objectContaining({
      type: expect.stringMatching(/\/unavailable$/),
      detail: expect.stringMatching(sentence),
    }),
  })
})

it('Nothing is stored when the disk of Postgres is full, and the next request is accepted when it has room', async () => {
  const record = await openRecord()
  onTestFinished(() => record.close())
  await record.sql.unsafe(`
    create function fill() returns trigger language plpgsql as $$ begin raise exception using errcode = '53100'; end $$;
    create trigger fill before insert on jobs execute function fill()`)
  const call = await openApi(record.url)
  expect(await call('POST', '/v1/jobs', hello)).toMatchObject({
    status: 503,
    retryAfter: '1',
    body: { detail: expect.stringMatching(/nothing of it was stored/) },
  })
  await record.sql`drop function fill cascade`
  expect((await call('POST', '/v1/jobs', hello)).status).toBe(202)
})

it('A job that is accepted is answered with 202 even if it cannot be read again', async () => {
  const record = await openRecord()
  onTestFinished(() => record.close())
  const call = await openApi(record.url)
  await record.sql.unsafe(`
    create function fail() returns boolean language plpgsql as $$ begin raise exception using errcode = '57014'; end $$;
    alter table attempts rename to kept;
    create view attempts as
      with failing as materialized (select fail() as failed) select kept.* from failing left join kept on failed`)
  const { status, body } = await call('POST', '/v1/jobs', hello, { prefer: 'wait=1' })
  expect({ status, body }).toMatchObject({ status: 202, body: { status: 'queued', input: { value: 1 } } })
  const cancelled = await call('POST', `/v1/jobs/${body.id}/cancel`)
  expect(cancelled).toMatchObject({ status: 503, body: { detail: expect.stringMatching(/was carried out/) } })
  expect((await record.job(body.id)).status).toBe('cancelled')
})

it('It is unknown what has become of a statement that was not answered', () => {
  expect(problemOf(new DeadlineError()).message).toMatch(/unknown.*same Idempotency-Key/)
})

it('What is our own fault is no trouble of Postgres', () => {
  expect(problemOf(new TypeError()).kind).toBe('internal')
})

it('Trouble that strikes thousands of requests is logged together, and what nobody foresaw each time', () => {
  const lines: string[] = []
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line).err.message) })
  const logProblem = problemLog(log)
  for (const error of [
    new DeadlineError('slow'),
    new DeadlineError('slow'),
    new RecordAwayError('away'),
    unavailable('It stops.'),
    new TypeError('a bug'),
    new TypeError('a bug'),
    new Problem('not-found', 'It is not there.'),
  ])
    logProblem(problemOf(error), error)
  expect(lines).toEqual(['slow', 'a bug', 'a bug'])
})

it('What zod finds is told up to 100 errors', () => {
  const { error } = z.array(z.string()).safeParse(Array.from({ length: 1_000 }, Number))
  expect(fieldErrors(error!, 'input')).toHaveLength(100)
})
