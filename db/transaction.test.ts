import { connect as connectTo, type Socket } from 'node:net'
import postgres from 'postgres'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { startTcpProxy, type TcpProxy } from '../testing/tcp-proxy.ts'
import { CommitUnknownError, ConnectionLostError, RolledBackError, TransactionPool } from './transaction.ts'

let record: TestRecord
let pool: TransactionPool
beforeAll(async () => {
  record = await openRecord()
  await record.sql`create table marks (id int primary key)`
  pool = new TransactionPool(
    (onclose) =>
      postgres(record.url, { max: 1, onclose, onnotice: () => {}, connection: { application_name: 'victim' } }),
    2,
  )
})
beforeEach(() => record.sql`truncate marks`)
afterAll(async () => {
  await pool.close()
  await record.close()
})

const marks = async () => (await record.sql`select id from marks order by id`).map((row) => row.id as number)
const killConnections = () =>
  record.sql`select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'victim'`
const rollBack = () => {
  throw new Error('roll back')
}

it('commits what it did, and rolls back what threw', async () => {
  expect(await pool.run((sql) => sql`insert into marks values (1) returning id`)).toMatchObject([{ id: 1 }])
  await expect(pool.run((sql) => sql`insert into marks values (2)`.then(rollBack))).rejects.toThrow('roll back')
  expect(await marks()).toEqual([1])
})

it('runs as many at once as it has connections, and the rest in turn', async () => {
  const pids = await Promise.all(
    Array.from({ length: 6 }, () => pool.run((sql) => sql`select pg_backend_pid() as pid, pg_sleep(0.02)`)),
  )
  expect(new Set(pids.map(([row]) => row?.pid as number)).size).toBe(2)
})

it('says that nothing was done where none was free in time', async () => {
  const given = new AbortController()
  const hold = Promise.withResolvers<void>()
  const holders = [pool.run(() => hold.promise), pool.run(() => hold.promise)]
  const late = pool.run((sql) => sql`insert into marks values (1)`, given.signal)
  given.abort(new DOMException('The operation timed out', 'TimeoutError'))
  hold.resolve()
  await expect(late).rejects.toEqual(new ConnectionLostError('No transaction was free in time'))
  await Promise.all(holders)
  expect(await marks()).toEqual([])
})

it('keeps plain statements out of its transactions', async () => {
  const plain = Array.from({ length: 100 }, (_, id) => record.sql`insert into marks values (${id})`)
  const rolledBack = Array.from({ length: 20 }, () => pool.run((sql) => sql`select 1`.then(rollBack)).catch(() => {}))
  await Promise.all([...plain, ...rolledBack])
  expect(await marks()).toHaveLength(100)
})

describe('When the connection is lost', () => {
  it('nothing runs outside the transaction', async () => {
    const broken = pool.run(async (sql) => {
      await sql`insert into marks values (1)`
      await killConnections()
      await sql`insert into marks values (2)`.catch(() => {})
      await sql.unsafe('insert into marks values (3)')
    })
    await expect(broken).rejects.toBeInstanceOf(ConnectionLostError)
    expect(await marks()).toEqual([])
  })

  it('nothing that the driver still has queued runs outside the transaction', async () => {
    const broken = pool.run(async (sql) => {
      const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
      const inserts = [1, 2, 3, 4].map((id) => sql`insert into marks select ${id}::int from pg_sleep(0.2)`)
      const settled = Promise.allSettled(inserts)
      await record.sql`select pg_terminate_backend(${row!.pid}, 5000)`
      await settled
      await new Promise((resolve) => setTimeout(resolve, 100))
    })
    await expect(broken).rejects.toBeInstanceOf(ConnectionLostError)
    expect(await marks()).toEqual([])
  })

  it('during COMMIT, it says that the outcome is unknown', async () => {
    await record.sql.unsafe(`
      create function dawdle() returns trigger language plpgsql as 'begin perform pg_sleep(10); return null; end';
      create constraint trigger dawdle after insert on marks deferrable initially deferred for each row when (new.id = 99)
      execute function dawdle()`)
    const broken = pool.run((sql) => sql`insert into marks values (99)`).catch((error: unknown) => error)
    const committing = async () =>
      (
        await record.sql`select from pg_stat_activity where application_name = 'victim' and query = 'commit' and state = 'active'`
      ).length
    while ((await committing()) === 0);
    await killConnections()
    expect(await broken).toBeInstanceOf(CommitUnknownError)
    expect(await marks()).toEqual([])
  })

  it('a statement that hears of it before the pool does is not taken for the reason', async () => {
    const { hostname, port } = new URL(record.url)
    const sockets: Socket[] = []
    const socket = () => {
      const made = connectTo(Number(port), hostname)
      sockets.push(made)
      return made
    }
    const watched = new TransactionPool((onclose) => {
      const options = { max: 1, onclose, socket }
      return postgres(record.url, options)
    }, 1)
    const broken = watched.run(async (sql) => {
      const waiting = sql`select pg_sleep(60)`.execute()
      sockets[0]?.destroy(new Error('reset'))
      await waiting
    })
    await expect(broken).rejects.toBeInstanceOf(ConnectionLostError)
    await watched.close()
  })

  it('the next transaction has another one', async () => {
    await pool.run((sql) => sql`select 1`)
    await killConnections()
    await pool.run((sql) => sql`insert into marks values (7)`)
    expect(await marks()).toEqual([7])
  })
})

it('ends the connection, and what it holds and waits for, when it is aborted', async () => {
  await pool.run((sql) => sql`insert into marks values (1)`)
  const holding = Promise.withResolvers<void>()
  const controller = new AbortController()
  const holder = pool.run(async (sql) => {
    await sql`update marks set id = 2`
    holding.resolve()
    await new Promise(() => {})
  }, controller.signal)
  await holding.promise
  const waiter = pool.run((sql) => sql`update marks set id = 3`)
  controller.abort()
  await waiter
  expect(await marks()).toEqual([3])
  holder.catch(() => {})
})

it('runs nothing outside the transaction when it is aborted while statements wait their turn', async () => {
  const controller = new AbortController()
  const outcomes: string[] = []
  const broken = pool.run(async (sql) => {
    await sql`insert into marks values (1)`
    const first = sql`select pg_sleep(0.05), ${1}::int`.execute()
    const second = sql`insert into marks values (${2}::int)`.then(
      () => outcomes.push('ran'),
      () => outcomes.push('refused'),
    )
    await new Promise((resolve) => setImmediate(resolve)) // one is under way, the other waits
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }) // the answer comes before the driver's timer
    controller.abort()
    await first
    while (outcomes.length === 0) await vi.advanceTimersByTimeAsync(100)
    await second
  }, controller.signal)
  await expect(broken).rejects.toBeInstanceOf(ConnectionLostError)
  vi.useRealTimers()
  expect(outcomes).toEqual(['refused'])
  expect(await marks()).toEqual([])
})

it('refuses a statement that its work has left behind', async () => {
  const { late } = await pool.run(async (sql) => ({ late: () => sql`insert into marks values (1)` }))
  await expect(late()).rejects.toThrow('This transaction is over')
  expect(await marks()).toEqual([])
})

it('replaces a connection that has reached its age, after its transaction', async () => {
  const aging = new TransactionPool((onclose) => postgres(record.url, { max: 1, onclose }), 1, { renewAfterMs: 0 })
  const pids = [1, 2].map(() => aging.run((sql) => sql`select pg_backend_pid() as pid`))
  const [one, other] = (await Promise.all(pids)).map(([row]) => row?.pid as number)
  expect(one).not.toBe(other)
  await aging.close()
})

it('says so when Postgres answers COMMIT with ROLLBACK', async () => {
  const swallowed = pool.run(async (sql) => {
    await sql`insert into marks values (1)`
    await sql`select 1 / 0`.catch(() => {})
  })
  await expect(swallowed).rejects.toBeInstanceOf(RolledBackError)
  expect(await marks()).toEqual([])
})

it.each(['begin', 'reserve', 'end', 'listen', 'notify', 'file', 'largeObject'] as const)(
  'refuses %s, which would leave the transaction',
  async (name) => {
    await expect(pool.run(async (sql) => sql[name] as unknown)).rejects.toThrow(`sql.${name} has no place`)
  },
)

describe('When its connection has fallen silent', () => {
  let network: TcpProxy
  let silent: TransactionPool
  beforeEach(async () => {
    network = await startTcpProxy(record.url)
    silent = new TransactionPool((onclose) => postgres(network.url, { max: 1, onclose, onnotice: () => {} }), 1, {
      answerWithinMs: 500,
    })
    await silent.run((sql) => sql`select 1`)
  })
  afterEach(async () => {
    network.close()
    await silent.close()
  })
  const silence = () => {
    network.freeze()
    network.thaw()
  }

  it('the next transaction begins on another one', async () => {
    silence()
    await silent.run((sql) => sql`insert into marks values (1)`)
    expect(await marks()).toEqual([1])
  })

  it('during COMMIT, it says that the outcome is unknown', async () => {
    const cut = silent.run(async (sql) => {
      await sql`insert into marks values (1)`
      silence()
    })
    await expect(cut).rejects.toBeInstanceOf(CommitUnknownError)
    await silent.run((sql) => sql`insert into marks values (2)`)
  })
})

it('says that there is no connection when Postgres is away', async () => {
  const away = new TransactionPool(
    (onclose) => postgres('postgres://127.0.0.1:1/none', { max: 1, onclose, connect_timeout: 1 }),
    1,
  )
  await expect(away.run((sql) => sql`select 1`)).rejects.toBeInstanceOf(ConnectionLostError)
  await away.close()
})
