import { hash, randomBytes } from 'node:crypto'
import { deleteApiKey, insertApiKey, type FoundKey } from '@jobyard/db/api-keys'
import type { Sql } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { Circuit } from '@jobyard/queues/circuit'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import { openRecord } from '../../testing/record.ts'
import { KnownKeys } from './known-keys.ts'

afterEach(() => vi.restoreAllMocks())

/** Lets the monotonic clock of this process stand where a test wants it. */
function ownClock(): (ms: number) => void {
  let nowMs = 10_000
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
  return (ms) => {
    nowMs += ms
  }
}

const freshKey = () => `jy_${randomBytes(32).toString('base64url')}`
const quiet = () => new Circuit({ probe: async () => {} })

/** Keys of a record in which one is stored, and the look-ups that were sent. */
async function openKeys() {
  const record = await openRecord()
  onTestFinished(() => record.close())
  const shown = freshKey()
  const id = newId()
  const terms = { tenant: 'a', name: 'x', role: 'reader', prefix: 'jy_x', expiresAt: null } as const
  await insertApiKey(record.sql, { id, ...terms, hash: hash('sha256', shown, 'buffer') })
  const lookUps: number[] = []
  const sql = new Proxy(record.sql, {
    apply: (target, self, [strings, ...values]: [TemplateStringsArray, ...unknown[]]) => {
      if (strings.join('').includes('where hash = any')) lookUps.push(1)
      return Reflect.apply(target, self, [strings, ...values])
    },
  })
  const keys = new KnownKeys({ sql, circuit: quiet() })
  onTestFinished(() => keys.drained())
  return { record, keys, shown, id, lookUps }
}

it('A key that is in use is renewed ahead, and nobody waits', async () => {
  const { keys, shown, id, lookUps } = await openKeys()
  const pass = ownClock()
  expect(await keys.judge(shown)).toMatchObject({ id, tenant: 'a', role: 'reader' })
  for (let second = 2; second <= 5; second++) {
    pass(499)
    expect(keys.judge(shown)).toMatchObject({ id })
    expect(lookUps).toHaveLength(second - 1)
    pass(400)
    expect([keys.judge(shown), keys.judge(shown)]).toMatchObject([{ id }, { id }])
    await vi.waitFor(() => expect(lookUps).toHaveLength(second))
    await vi.waitFor(() => {
      pass(101)
      const verdict = keys.judge(shown)
      pass(-101)
      expect(verdict).toMatchObject({ id })
    })
  }
})

it('A key that was revoked elsewhere is refused when what is known of it is a second old', async () => {
  const { record, keys, shown, id } = await openKeys()
  const pass = ownClock()
  await keys.judge(shown)
  await deleteApiKey(record.sql, undefined, id)
  pass(499)
  expect(keys.judge(shown)).toMatchObject({ id })
  pass(501)
  expect(await keys.judge(shown)).toBe('unknown')
  expect(keys.judge(shown)).toBe('unknown')
})

it('Everybody who waits for one key waits for the same look-up, and those of many keys go together', async () => {
  const { keys, shown, id, lookUps } = await openKeys()
  const same = await Promise.all(Array.from({ length: 500 }, async () => keys.judge(shown)))
  expect(new Set(same.map((each) => (each as FoundKey).id))).toEqual(new Set([id]))
  expect(lookUps).toHaveLength(1)
})

it('A flood of wrong keys costs a statement for each five hundred, and each of them one look-up', async () => {
  const { keys, lookUps } = await openKeys()
  const wrong = Array.from({ length: 1_000 }, freshKey)
  const judge = () => Promise.all(wrong.map(async (key) => keys.judge(key)))
  expect(new Set(await judge())).toEqual(new Set(['unknown']))
  expect(lookUps.length).toBeLessThanOrEqual(3)
  const before = lookUps.length
  await judge()
  expect(['', 'jy_', `jy_${'x'.repeat(44)}`, `jy_${'ü'.repeat(43)}`].map((key) => keys.judge(key))).toEqual(
    Array(4).fill('unknown'),
  )
  expect(lookUps).toHaveLength(before)
})

it('More wrong keys than may wait are told to come again, and a key in use is renewed beside them', async () => {
  const { keys, shown, id } = await openKeys()
  const pass = ownClock()
  await keys.judge(shown)
  const flood = Array.from({ length: 5_000 }, () => Promise.resolve(keys.judge(freshKey())).catch(({ kind }) => kind))
  pass(1_000)
  expect(await keys.judge(shown)).toMatchObject({ id })
  expect(new Set(await Promise.all(flood))).toEqual(new Set(['unknown', 'unavailable']))
})

it('When it was last used is noted once a minute', async () => {
  const { record, keys, shown, id } = await openKeys()
  const lastUsed = async () =>
    (await record.sql<{ at: string | null }[]>`select last_used_at::text as at from api_keys where id = ${id}`)[0]?.at
  await keys.judge(shown)
  await keys.drained()
  const first = await lastUsed()
  expect(first).toBeTruthy()
  await keys.judge(shown)
  await keys.drained()
  expect(await lastUsed()).toBe(first)
  const again = new KnownKeys({ sql: record.sql, circuit: quiet() })
  await again.judge(shown)
  await again.drained()
  expect(await lastUsed()).toBe(first)
  await record.sql`update api_keys set last_used_at = last_used_at - interval '61 s'`
  const later = new KnownKeys({ sql: record.sql, circuit: quiet() })
  await later.judge(shown)
  await later.drained()
  expect(await lastUsed()).not.toBe(first)
})

it('An answer that was asked for a second before somebody came is not believed for them', async () => {
  const pass = ownClock()
  const shown = freshKey()
  const row: FoundKey = {
    id: newId(),
    tenant: 'a',
    role: 'reader',
    hash: hash('sha256', shown, 'buffer'),
    expiresInMs: null,
  }
  const asked: ((rows: FoundKey[]) => void)[] = []
  const sql = (() => new Promise((resolve) => asked.push(resolve))) as unknown as Sql
  const keys = new KnownKeys({ sql, circuit: quiet() })
  const first = keys.judge(shown)
  await vi.waitFor(() => expect(asked).toHaveLength(1))
  pass(1_001)
  const second = keys.judge(shown)
  asked[0]?.([row])
  expect(await first).toMatchObject({ id: row.id })
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(1))
  for (const answer of asked.slice(1)) answer([])
  expect(await second).toBe('unknown')
})

it('A key that was revoked here stays so, whatever a look-up that was under way tells of it', async () => {
  const shown = freshKey()
  const digest = hash('sha256', shown, 'buffer')
  const row: FoundKey = { id: newId(), tenant: 'a', role: 'reader', hash: digest, expiresInMs: null }
  const asked: ((rows: FoundKey[]) => void)[] = []
  const sql = (() => new Promise((resolve) => asked.push(resolve))) as unknown as Sql
  const keys = new KnownKeys({ sql, circuit: quiet() })
  const verdict = keys.judge(shown)
  await vi.waitFor(() => expect(asked).toHaveLength(1))
  keys.forget(row.id)
  asked[0]?.([row])
  expect(await verdict).toBe('unknown')
  expect(keys.judge(shown)).toBe('unknown')
})

it('While Postgres is away nobody is let in who cannot be checked, and nobody is told to be unknown', async () => {
  const { record, keys, shown, id } = await openKeys()
  const pass = ownClock()
  await keys.judge(shown)
  await record.db.close()
  pass(999)
  expect(keys.judge(shown)).toMatchObject({ id })
  pass(1)
  const away = { kind: 'unavailable', message: expect.stringMatching(/Nothing was done/) }
  await expect(keys.judge(shown)).rejects.toMatchObject(away)
  await expect(keys.judge(freshKey())).rejects.toMatchObject(away)
})
