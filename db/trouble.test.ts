import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { connect } from './connect.ts'
import { CommitUnknownError, ConnectionLostError, RolledBackError } from './transaction.ts'
import { fateOf, isAway } from './trouble.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

const refused = (code: string) => new postgres.PostgresError({ code } as never)
const coded = (code: string, more = {}) => Object.assign(new Error(code), { code, ...more })

/** What a statement on this URL is rejected with. */
async function failure(url: string): Promise<unknown> {
  const db = connect(url, { applicationName: 'trouble', max: 1 })
  onTestFinished(() => db.close())
  return db.sql`select 1`.then(
    () => undefined,
    (error: unknown) => error,
  )
}

const elsewhere = (change: (url: URL) => void) => {
  const url = new URL(record.url)
  change(url)
  return url.href
}

it.each([
  '25006', // read only
  '28P01', // password
  '3D000', // no such database
  '40001', // could not be serialized
  '40P01', // deadlock
  '53100', // disk full
  '53300', // too many connections
  '55P03', // lock not available
  '57014', // time-out of a statement
  '57P03', // starting up
  '58030', // input and output
  'P0001', // raised by a trigger
  'XX001', // corrupt data
])('Postgres has done nothing when it answers %s', (code) => {
  expect(fateOf(refused(code))).toBe('undone')
})

it.each(['08006', '40003', '57P01', '57P02'])('Postgres may have done it all the same when it answers %s', (code) => {
  expect(fateOf(refused(code))).toBe('unknown')
})

it.each(['22P05', '23505', '54000', '42601', '42P01'])('%s is no trouble', (code) => {
  expect(fateOf(refused(code))).toBeUndefined()
})

it.each([
  coded('ENOTFOUND'),
  coded('EAI_AGAIN'),
  coded('CONNECT_TIMEOUT'),
  coded('CERT_HAS_EXPIRED'),
  coded('EHOSTUNREACH', { syscall: 'connect' }),
  coded('EMFILE', { syscall: 'connect' }),
  coded('ETIMEDOUT', { syscall: 'connect' }),
  new AggregateError([coded('ENETUNREACH', { syscall: 'connect' })]),
  new ConnectionLostError(),
])('Nothing is sent on a connection that was never made: $code', (error) => {
  expect(fateOf(error)).toBe('undone')
})

it('A transaction that was answered ROLLBACK has done nothing, and Postgres is there', () => {
  expect(fateOf(new RolledBackError())).toBe('undone')
  expect(isAway(new RolledBackError())).toBe(false)
  expect(isAway(new ConnectionLostError())).toBe(true)
})

it.each([
  coded('CONNECTION_CLOSED'),
  coded('ECONNRESET', { syscall: 'read' }),
  coded('EHOSTUNREACH', { syscall: 'read' }),
  coded('ETIMEDOUT'),
  new CommitUnknownError(),
])('Nobody knows what a lost connection has carried: $code', (error) => {
  expect(fateOf(error)).toBe('unknown')
})

it.each([new TypeError('a bug'), coded('UNDEFINED_VALUE'), coded('ENOENT', { syscall: 'open' }), 'text'])(
  'Other errors are no trouble of Postgres',
  (error) => {
    expect(fateOf(error)).toBeUndefined()
  },
)

it('Is told by the errors that the driver really throws', async () => {
  const closing = createServer((socket) => socket.once('data', () => socket.resetAndDestroy())).listen(0, '127.0.0.1')
  await once(closing, 'listening')
  onTestFinished(() => void closing.close())
  const { port } = closing.address() as AddressInfo
  const fates = await Promise.all(
    [
      elsewhere((url) => (url.pathname = '/nothing')),
      elsewhere((url) => (url.password = 'wrong')),
      elsewhere((url) => (url.port = '1')),
      elsewhere((url) => (url.host = 'localhost:1')),
      elsewhere((url) => (url.hostname = 'nowhere.invalid')),
      elsewhere((url) => (url.port = String(port))),
    ].map(async (url) => fateOf(await failure(url))),
  )
  expect(fates).toEqual(['undone', 'undone', 'undone', 'undone', 'undone', 'unknown'])
})
