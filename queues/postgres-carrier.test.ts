import { newId } from '@jobyard/db/ids'
import { connect, type Database } from '@jobyard/db/connect'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { createDatabase, type TestDatabase } from '../testing/postgres.ts'
import { openCarrier, type Carrier } from './carrier.ts'

const year = 366 * 86_400_000

describe('Beside a transaction that somebody has left open', () => {
  let database: TestDatabase
  let db: Database
  let carrier: Carrier
  let forgotten: pg.Client
  beforeEach(async () => {
    database = await createDatabase(inject('postgresAdminUrl'))
    db = connect(database.url, { applicationName: 'test', max: 1 })
    carrier = openCarrier({ databaseUrl: database.url, onError: () => {} })
    await carrier.migrate()
    forgotten = await openConnection()
    await forgotten.query('begin isolation level repeatable read; select txid_current()')
  })
  afterEach(async () => {
    await Promise.all([forgotten.end(), carrier.close(), db.close()])
    await database.drop()
  })

  const openConnection = async () => {
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    return client
  }
  const kilobytes = async () =>
    (await db.sql<{ kb: number }[]>`select pg_relation_size('bullmq.job')::int / 1024 as kb`)[0]?.kb ?? 0
  const tickets = () => db.sql`select * from bullmq.job order by seq`
  const leaveDead = async (count: number) => {
    await db.sql`
      insert into bullmq.job (queue, id, seq, name, state, added_at_ms)
      select 'q', 'dead ' || n, n, 'ticket', 'waiting', 0 from generate_series(1, ${count}::int) as n`
    await db.sql`delete from bullmq.job where id like 'dead %'`
    await db.sql`select pg_stat_force_next_flush()`
    await db.sql`vacuum bullmq.job`
  }
  const addTickets = async (count: number) => {
    await carrier.add(
      'q',
      Array.from({ length: count }, () => ({ id: newId(), data: { ids: [newId()] }, priority: 3 })),
    )
    await db.sql`update bullmq.job set state = 'active', lock_token = 'mine', locked_until_ms = 7 where seq = (select min(seq) from bullmq.job)`
  }

  it('tickets that are gone are shed, and all others are as they were', async () => {
    await addTickets(3)
    await leaveDead(6_000)
    const before = await tickets()
    expect(await kilobytes()).toBeGreaterThan(500)
    await carrier.shedDeadTickets()
    expect(await tickets()).toEqual(before)
    expect(await kilobytes()).toBeLessThan(50)
    expect(
      await db.sql`select state, lock_token from bullmq.move_to_active('q', 't', 1000, 0, 'w', null, null)`,
    ).toEqual([{ state: 'active', lockToken: 't' }])
  })

  it('few that are gone are left, and so are many beside many that are not', async () => {
    await addTickets(1)
    await leaveDead(4_000)
    const few = await kilobytes()
    await carrier.shedDeadTickets()
    expect(await kilobytes()).toBe(few)
    await addTickets(4_000)
    await leaveDead(6_000)
    const many = await kilobytes()
    await carrier.shedDeadTickets()
    expect(await kilobytes()).toBe(many)
  })

  it('a round is left out while somebody else has the tickets locked', async () => {
    await leaveDead(6_000)
    const holder = await openConnection()
    await holder.query('begin; lock table bullmq.job in access share mode')
    await carrier.shedDeadTickets()
    expect(await kilobytes()).toBeGreaterThan(500)
    await holder.end()
    await carrier.shedDeadTickets()
    expect(await kilobytes()).toBe(0)
  })
})

it('Frees the tickets of a dead process whose clock was a year ahead', async () => {
  const database = await createDatabase(inject('postgresAdminUrl'))
  const db = connect(database.url, { applicationName: 'test' })
  const carrier = openCarrier({ databaseUrl: database.url, onError: () => {} })
  await carrier.migrate()
  const id = newId()
  await carrier.add('q', [{ id, data: { ids: [] }, priority: 0 }])
  await carrier.setPaused('q', true)
  /** What BullMQ does by the clock of a process. */
  const lookForStalled = (now: number) =>
    db.sql`select from bullmq.move_stalled_jobs_to_wait('q', 1000, ${now}::bigint, 5000)`
  await lookForStalled(Date.now() + year)
  await db.sql`update bullmq.job set state = 'active', lock_token = 'dead', locked_until_ms = ${Date.now() + year}::bigint`
  const minute = 60_000
  const lookTwice = async () => {
    for (const later of [2, 3]) await lookForStalled(Date.now() + later * minute)
    const [job] = await db.sql<{ state: string }[]>`select state from bullmq.job where id = ${id}`
    return job?.state
  }
  expect(await lookTwice()).toBe('active')
  await carrier.forgetWrongClocks()
  expect(await lookTwice()).toBe('waiting')
  expect(await carrier.isPaused('q')).toBe(true)
  await carrier.close()
  await db.close()
  await database.drop()
})
