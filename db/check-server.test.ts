import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { checkSchema } from './check-schema.ts'
import { checkServer, readServerSettings, serverProblems, type ServerSettings } from './check-server.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

it('accepts the server of the tests', async () => {
  await expect(checkServer(record.sql)).resolves.toBeUndefined()
})

it.each<[string, Partial<ServerSettings>, RegExp]>([
  ['too old', { versionNumber: 140_012 }, /Postgres 14 is too old/],
  ['a standby', { standby: true }, /point DATABASE_URL at the primary/],
  ['without fsync', { fsync: 'off' }, /set fsync = on/],
  ['without full page writes', { fullPageWrites: 'off' }, /set full_page_writes = on/],
  ['with asynchronous commits', { synchronousCommit: 'off' }, /set synchronous_commit = on/],
  ['with another isolation', { isolation: 'serializable' }, /read committed/],
])('names the remedy for a server that is %s', async (_what, settings, sentence) => {
  const problems = serverProblems({ ...(await readServerSettings(record.sql)), ...settings })
  expect(problems).toEqual([expect.stringMatching(sentence)])
})

it('refuses to go on with a server that loses commits', async () => {
  const [row] = await record.sql<{ name: string }[]>`select current_database() as name`
  await record.sql.unsafe(`alter database ${row!.name} set synchronous_commit = off`)
  const { connect } = await import('./connect.ts')
  const db = connect(record.url, { applicationName: 'test' })
  await expect(checkServer(db.sql)).rejects.toThrow('set synchronous_commit = on')
  await db.close()
})

it('refuses a database that was not migrated, and names the command', async () => {
  await record.sql`delete from schema_migrations`
  await expect(checkSchema(record.sql)).rejects.toThrow('npm run migrate')
  await record.sql`drop table schema_migrations`
  await expect(checkSchema(record.sql)).rejects.toThrow('npm run migrate')
})
