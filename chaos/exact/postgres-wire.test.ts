import { createDatabase, type TestDatabase } from '@jobyard/testing/postgres'
import pg from 'pg'
import postgres from 'postgres'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type Fault, type FaultKind } from './fault.ts'
import { connecting, startPostgresWire } from './postgres-wire.ts'
import type { Wire } from './wire.ts'

let database: TestDatabase
let direct: postgres.Sql
let wire: Wire
/** The fault that happens to the next call whose text has this in it. */
let next: { readonly text: string; readonly fault: Fault } | undefined
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  database = await createDatabase(inject('postgresAdminUrl'))
  direct = postgres(database.url, { max: 1 })
  await direct`create table written (n int)`
})
afterAll(async () => {
  await direct.end()
  await database.drop()
})
beforeEach(async () => {
  await direct`truncate written`
  wire = await startPostgresWire(database.url, (text) => {
    if (!next || !text.includes(next.text)) return undefined
    const { fault } = next
    next = undefined
    return fault
  })
})
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  wire.close()
})

function arm(text: string, kind: FaultKind, error = '40001', wait = async () => {}): Promise<void> {
  return new Promise((resolve) => (next = { text, fault: { kind, error, wait, done: resolve } }))
}

async function written(): Promise<number[]> {
  return (await direct`select n from written order by n`).map(({ n }) => n as number)
}

/** Makes a client of one connection. */
type Connect = () => (text: string, ...parameters: number[]) => Promise<Record<string, unknown>[]>

const clients: [string, Connect][] = [
  [
    'named statements',
    () => {
      const sql = postgres(wire.url, { max: 1, onnotice: () => {} })
      closing.push(() => sql.end({ timeout: 1 }))
      return async (text, ...parameters) => sql.unsafe(text, parameters, { prepare: true })
    },
  ],
  [
    'unnamed statements',
    () => {
      let client: pg.Client | undefined
      const open = async () => {
        const opening = new pg.Client({ connectionString: wire.url })
        opening.on('error', () => {})
        opening.on('end', () => (client = undefined))
        await opening.connect()
        return (client = opening)
      }
      closing.push(async () => client?.end())
      return async (text, ...parameters) => {
        const connection = client ?? (await open())
        return (await connection.query(text, parameters)).rows
      }
    },
  ],
]
const connectionLost = /CONNECTION_CLOSED|Connection terminated|ECONNRESET/
const insert = 'insert into written values ($1) returning n'

describe.each(clients)('Of %s', (_name, connect) => {
  it('all pass that have no fault', async () => {
    const query = connect()
    expect(await query(insert, 1)).toEqual([{ n: 1 }])
    expect(await query('select 2 as two')).toEqual([{ two: 2 }])
    await expect(query('select 1/0')).rejects.toMatchObject({ code: '22012' })
    expect(await query(insert, 3)).toEqual([{ n: 3 }])
  })

  it.each([0, 1])('one that fails before is not executed (executed before: %i)', async (before) => {
    const query = connect()
    for (let n = 0; n < before; n++) await query(insert, 7)
    void arm('insert', 'failed before', '40P01')
    await expect(query(insert, 1)).rejects.toMatchObject({ code: '40P01' })
    expect(await query(insert, 2)).toEqual([{ n: 2 }])
    expect(await written()).toEqual(before ? [2, 7] : [2])
  })

  it.each([0, 1])('one that is executed and then fails has happened (executed before: %i)', async (before) => {
    const query = connect()
    for (let n = 0; n < before; n++) await query(insert, 7)
    void arm('insert', 'executed, then failed', '57014')
    await expect(query(insert, 1)).rejects.toMatchObject({ code: '57014' })
    expect(await query(insert, 2)).toEqual([{ n: 2 }])
    expect(await written()).toEqual(before ? [1, 2, 7] : [1, 2])
  })

  it('one that is delayed happens when it may', async () => {
    const query = connect()
    const { promise, resolve } = Promise.withResolvers<void>()
    const held = new Promise<void>((isHeld) => {
      void arm('insert', 'delayed', '', () => {
        isHeld()
        return promise
      })
    })
    const answered = query(insert, 1)
    await held
    expect(await written()).toEqual([])
    resolve()
    expect(await answered).toEqual([{ n: 1 }])
  })

  it('one that is delayed happens even if its client has gone', async () => {
    const query = connect()
    const { promise, resolve } = Promise.withResolvers<void>()
    let over = Promise.resolve()
    const held = new Promise<void>((isHeld) => {
      over = arm('insert', 'delayed', '', () => {
        isHeld()
        return promise
      })
    })
    const answered = query(insert, 1).catch(() => {})
    await held
    wire.cutClients()
    await answered
    resolve()
    await over
    expect(await written()).toEqual([1])
  })

  it('one that is doubled is answered once', async () => {
    const query = connect()
    const over = arm('insert', 'doubled')
    expect(await query(insert, 1)).toEqual([{ n: 1 }])
    await over
    expect(await query(insert, 2)).toEqual([{ n: 2 }])
    expect(await written()).toEqual([1, 1, 2])
  })

  it('one that loses its connection before is not executed', async () => {
    const query = connect()
    void arm('insert', 'connection lost before')
    await expect(query(insert, 1)).rejects.toThrow(connectionLost)
    expect(await query(insert, 2)).toEqual([{ n: 2 }])
    expect(await written()).toEqual([2])
  })

  it('one that loses its connection after has happened', async () => {
    const query = connect()
    void arm('insert', 'connection lost after')
    await expect(query(insert, 1)).rejects.toThrow(connectionLost)
    expect(await query(insert, 2)).toEqual([{ n: 2 }])
    expect(await written()).toEqual([1, 2])
  })

  it('a transaction is spoilt by one that fails before', async () => {
    const query = connect()
    await query('begin')
    void arm('insert', 'failed before')
    await expect(query(insert, 1)).rejects.toMatchObject({ code: '40001' })
    await expect(query('select 1')).rejects.toMatchObject({ code: '25P02' })
    await query('rollback')
    expect(await query('select 1 as one')).toEqual([{ one: 1 }])
  })

  it.each([
    ['failed before', []],
    ['executed, then failed', [1]],
    ['connection lost before', []],
    ['connection lost after', [1]],
  ] as const)('a COMMIT with the fault "%s" leaves %j', async (kind, left) => {
    const query = connect()
    await query('begin')
    await query(insert, 1)
    void arm('commit', kind)
    await expect(query('commit')).rejects.toBeInstanceOf(Error)
    expect(await query('select 1 as one')).toEqual([{ one: 1 }])
    expect(await written()).toEqual(left)
  })

  it('a connection may be refused when it is made', async () => {
    const query = connect()
    void arm(connecting, 'failed before', '53300')
    await expect(query('select 1')).rejects.toMatchObject({ code: '53300' })
    expect(await query('select 1 as one')).toEqual([{ one: 1 }])
  })
})

it('Of many statements on their way at once, only the one fails that has the fault', async () => {
  const sql = postgres(wire.url, { max: 1 })
  closing.push(() => sql.end())
  await sql`insert into written values (${0})`
  let seen = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  wire.close()
  wire = await startPostgresWire(database.url, (text) => {
    const hit = text.includes('insert') && ++seen === 20
    return hit ? { kind: 'failed before', error: '40001', wait: async () => {}, done: resolve } : undefined
  })
  const other = postgres(wire.url, { max: 1 })
  closing.push(() => other.end())
  const results = await Promise.allSettled(
    Array.from({ length: 50 }, (_, n) => other`insert into written values (${n + 1})`),
  )
  await promise
  expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1)
  expect(await written()).toHaveLength(50)
})

it('Notifications pass at any time', async () => {
  const listener = postgres(wire.url, { max: 1 })
  closing.push(() => listener.end())
  const heard = new Promise((resolve) => void listener.listen('news', resolve, () => void direct.notify('news', 'now')))
  expect(await heard).toBe('now')
})
