import { pino } from 'pino'
import { expect, it, onTestFinished } from 'vitest'
import { connect } from '@jobyard/db/connect'
import { checkServer } from '@jobyard/db/check-server'
import { createCrowdedUser } from '../testing/crowded-user.ts'
import { openRecord } from '../testing/record.ts'
import { awaitServer, type AwaitedServer } from './await-server.ts'

/** Answers as the script says, one entry per check: an error, null for silence, undefined when all is well. */
async function awaitScripted(answers: (Error | null | undefined)[], more: Partial<AwaitedServer> = {}) {
  const lines: string[] = []
  const log = pino({ level: 'warn', base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) })
  const check = async () => {
    const answer = answers.shift()
    if (answer === null) return new Promise<never>(() => {})
    if (answer) throw answer
  }
  const server = { name: 'Redis', variable: 'REDIS_URL', url: 'redis://me:secret@cache:6379', check, log }
  const outcome = await awaitServer({ ...server, deadlineMs: 5, everyMs: 1, ...more }).then(
    () => 'up',
    (error: Error) => error.message,
  )
  return { outcome, lines }
}

const coded = (code: string, message = code) => Object.assign(new Error(message), { code })

it('Waits for a server that does not answer, and says which variable names it', async () => {
  const { outcome, lines } = await awaitScripted([null, coded('ECONNREFUSED', ''), coded('ENOTFOUND'), undefined])
  expect(outcome).toBe('up')
  expect(lines).toEqual([
    'Redis at cache:6379 (REDIS_URL) does not answer: The check got no answer within 5 ms. Trying again every 0.001 s',
    'Redis at cache:6379 (REDIS_URL) does not answer: ECONNREFUSED. Trying again every 0.001 s',
    'Redis at cache:6379 (REDIS_URL) does not answer: ENOTFOUND. Trying again every 0.001 s',
  ])
})

it('Gives up when the server refuses, with one line that names it', async () => {
  const { outcome, lines } = await awaitScripted([coded('28P01', 'password authentication failed')])
  expect(outcome).toMatch(/^Redis at cache:6379 \(REDIS_URL\) refuses: .*password authentication failed$/)
  expect(lines).toEqual([])
})

it('Passes on what a check says about settings', async () => {
  expect((await awaitScripted([new Error('set fsync = on')])).outcome).toBe('set fsync = on')
})

it('Waits for a Postgres that starts, or has no connection left', async () => {
  const { outcome, lines } = await awaitScripted([coded('57P03'), coded('53300'), undefined])
  expect(outcome).toBe('up')
  expect(lines.map((line) => /answer: (\w+)/.exec(line)?.[1])).toEqual(['57P03', '53300'])
})

it('Takes a Postgres that is away for one that does not answer', async () => {
  const url = 'postgres://me@127.0.0.1:1/x'
  const db = connect(url, { applicationName: 'test' })
  onTestFinished(() => db.close())
  const checks = [() => checkServer(db.sql), async () => {}]
  const { outcome, lines } = await awaitScripted([], {
    name: 'Postgres',
    variable: 'DATABASE_URL',
    url,
    deadlineMs: 5_000,
    check: () => checks.shift()!(),
  })
  expect(outcome).toBe('up')
  expect(lines).toEqual([
    'Postgres at 127.0.0.1:1 (DATABASE_URL) does not answer: ECONNREFUSED. Trying again every 0.001 s',
  ])
})

it('Takes a Postgres without a free connection for one that does not answer', async () => {
  const record = await openRecord()
  onTestFinished(() => record.close())
  const { url, relieve } = await createCrowdedUser(record.url)
  const db = connect(url, { applicationName: 'test' })
  onTestFinished(() => db.close())
  const check = async () => {
    await db.sql`select 1`.catch(async (error: unknown) => {
      await relieve()
      throw error
    })
  }
  const { outcome, lines } = await awaitScripted([], { url, check, deadlineMs: 5_000 })
  expect(outcome).toBe('up')
  expect(lines).toEqual([expect.stringContaining('does not answer: 53300.')])
})
