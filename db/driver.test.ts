import { connect as connectTo, Socket } from 'node:net'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

/** A client of one connection, and the sockets that it makes. */
function openClient(onSocket: (socket: Socket) => void = () => {}) {
  const { hostname, port } = new URL(record.url)
  const sockets: Socket[] = []
  const socket = () => {
    const made = connectTo(Number(port), hostname)
    sockets.push(made)
    onSocket(made)
    return made
  }
  const options = { max: 1, connect_timeout: 3, socket }
  return { sql: postgres(record.url, options), sockets }
}

/** What the driver does of itself when a connection is lost, and what scripts/patch-driver.mjs mends. */
describe('When a connection is lost', () => {
  it('a statement that came too late to be sent fails, and is not answered with nothing', async () => {
    const { sql, sockets } = openClient()
    await sql`select 1`
    const late = Promise.withResolvers<unknown>()
    sockets[0]?.on('error', () => void sql`select 2 as n`.then(late.resolve, late.reject))
    sockets[0]?.destroy(new Error('reset'))
    await expect(late.promise).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })
    expect(await sql`select 3 as n`).toMatchObject([{ n: 3 }])
    await sql.end()
  })

  it('the next one takes its place although something was about to be written', async () => {
    const { sql, sockets } = openClient()
    await sql`select 1`
    const lost = sql`select 2 as n`.execute()
    sockets[0]?.destroy()
    await expect(lost).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })
    expect(await sql`select 3 as n`).toMatchObject([{ n: 3 }])
    await sql.end()
  })

  it('while it reads the types of arrays, only the statement that needed it fails', async () => {
    let cuts = 1
    const { sql } = openClient((socket) => {
      const write: (chunk: Buffer) => boolean = socket.write.bind(socket)
      socket.write = (chunk: Buffer) => {
        if (!String(chunk).includes('pg_catalog.pg_type') || cuts-- <= 0) return write(chunk)
        socket.destroy(new Error('reset'))
        return false
      }
    })
    await expect(sql`select 1`).rejects.toThrow('reset')
    expect(await sql`select 2 as n`).toMatchObject([{ n: 2 }])
    await sql.end()
  })
})

describe('When a client ends', () => {
  const connections = async () =>
    (await record.sql<{ pid: number }[]>`select pid from pg_stat_activity where application_name = 'ending'`).length
  const named = { max: 1, connect_timeout: 3, connection: { application_name: 'ending' } }

  it('a statement that waits its turn fails, and is not run on another connection', async () => {
    await record.sql`create table marks (id int)`
    const sql = postgres(record.url, named)
    await sql`select 1`
    const underWay = sql`select pg_sleep(0.1), ${1}::int`.execute()
    const queued = Promise.allSettled([sql`insert into marks values (${1}::int)`])
    const ended = sql.end({ timeout: 3 })
    await underWay
    expect(await queued).toMatchObject([{ status: 'rejected', reason: { code: 'CONNECTION_ENDED' } }])
    await ended
    expect(await record.sql`select from marks`).toHaveLength(0)
  })

  it('while its connection is being made, the connection is not made', async () => {
    const opening = new Socket()
    const options = { max: 1, socket: () => opening.connect({ port: 1, host: 'nobody', lookup: () => {} }) }
    const sql = postgres(record.url, options)
    const begun = Promise.allSettled([sql`select 1`])
    while (!opening.connecting) await new Promise((resolve) => setImmediate(resolve))
    await sql.end({ timeout: 0 })
    expect(await begun).toMatchObject([{ reason: { code: 'CONNECTION_DESTROYED' } }])
    expect(opening.destroyed).toBe(true)
  })

  it('since its connection was lost, it makes no other', async () => {
    const closed = Promise.withResolvers<void>()
    const onclose = () => {
      closed.resolve()
      void sql.end({ timeout: 0 })
    }
    const sql = postgres(record.url, { ...named, onclose })
    const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
    const lost = Promise.allSettled([1, 2, 3].map((n) => sql`select pg_sleep(1), ${n}::int`.execute()))
    await record.sql`select pg_terminate_backend(${row!.pid}, 5000)`
    await Promise.all([lost, closed.promise])
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await connections()).toBe(0)
  })
})
