import { hash, randomBytes } from 'node:crypto'
import { deleteApiKey, insertApiKey } from '@jobyard/db/api-keys'
import { newId } from '@jobyard/db/ids'
import { Circuit } from '@jobyard/queues/circuit'
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import { adminKey } from '../../testing/platform.ts'
import { openRecord } from '../../testing/record.ts'
import { keeper } from './caller.ts'
import { Callers } from './callers.ts'

async function openCallers() {
  const record = await openRecord()
  onTestFinished(() => record.close())
  const callers = new Callers({ adminKey, sql: record.sql, circuit: new Circuit({ probe: async () => {} }) })
  onTestFinished(() => callers.close())
  return { record, callers }
}

it('Only JOBYARD_ADMIN_KEY itself shows its keeper', async () => {
  const { callers } = await openCallers()
  expect(callers.whoShows(adminKey)).toBe(keeper)
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.nat(adminKey.length - 1).map((end) => adminKey.slice(0, end)),
      ),
      async (shown) => {
        await expect((async () => callers.whoShows(shown))()).rejects.toMatchObject({ kind: 'unauthenticated' })
      },
    ),
  )
})

it('A connection is judged by what each of its requests shows, also when the one before has shown something else', async () => {
  const { record, callers } = await openCallers()
  const key = `jy_${randomBytes(32).toString('base64url')}`
  const id = newId()
  const terms = { tenant: 'a', name: 'x', role: 'reader', prefix: 'jy_x', expiresAt: null } as const
  await insertApiKey(record.sql, { id, ...terms, hash: hash('sha256', key, 'buffer') })
  const connection = {}
  const ask = async (shown?: string) => callers.identify(shown && `Bearer ${shown}`, '/', connection)
  const refused = { kind: 'unauthenticated' }
  for (let round = 0; round < 2; round++) {
    expect(await ask(adminKey)).toBe(keeper)
    expect(await ask(key)).toMatchObject({ keyId: id, tenant: 'a' })
    expect(await ask(key)).toMatchObject({ keyId: id })
    await expect(ask(`${key.slice(0, -1)}_`)).rejects.toMatchObject(refused)
    await expect(ask()).rejects.toMatchObject(refused)
  }
  expect(await ask(key)).toMatchObject({ keyId: id })
  await deleteApiKey(record.sql, undefined, id)
  callers.keys.forget(id)
  await expect(ask(key)).rejects.toMatchObject(refused)
})
