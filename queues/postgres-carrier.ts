import { errorCode } from '@jobyard/db/connect'
import { WatchedSocket } from '@jobyard/db/watched-socket'
import {
  Queue,
  createPostgresBackend,
  runMigrations,
  type PgPool,
  type PostgresConnectionOptions,
  type PostgresQueueBackend,
} from 'bullmq'
import pg from 'pg'
import type { CarrierBackend, TicketData, TicketQueue, TicketWorker } from './carrier-backend.ts'
import { FetchingWorker } from './fetching-worker.ts'

type PostgresQueue = Queue<
  TicketData,
  unknown,
  string,
  TicketData,
  unknown,
  string,
  PostgresQueueBackend,
  PostgresConnectionOptions
>

const schema = 'bullmq'
const searchPath = `-c search_path=${schema}`
/** Time after which Postgres cancels a statement of the carrier, in milliseconds. */
const statementTimeoutMs = 10_000
/** Time after which a connection that does not answer is given up, in milliseconds. */
const silentMs = 15_000
/** Connections of one process that carry statements. */
const statementConnections = 15
/**
 * Tickets whose `add`s, a commit each, cost about what one `addBulk` does: that makes two temporary tables each time, 17 ms and more of
 * Postgres's, to 0.5 for an `add` (docs/performance.md). Fewer come of small bursts and of streams, more of full batches.
 */
const bulkCostsAs = 15
/** Time ahead of Postgres from which on a time of BullMQ is taken for that of a wrong clock, in milliseconds: its locks are shorter. */
const clocksDifferByMs = 60_000

/** Dead tickets from which on they are shed, where they are so many times the others. */
const deadTickets = { least: 5_000, timesTheLiving: 4 }
/**
 * Time for which everybody waits at most until the tickets are locked, in milliseconds; else the next round tries again. Statements
 * take a few; what holds a lock for longer, as a dump does, will hold it in a second as well.
 */
const shedWithinMs = 50

/**
 * `truncate` leaves nothing behind, whoever still could look at it; `delete` does, and so does a `vacuum full`. Nobody else looks into this
 * schema. Whoever sees no tickets for this moment looks again, and a ticket that is not found when it is acknowledged comes again.
 */
const shedding = `do $$
  declare living job[];
  begin
    if not pg_try_advisory_xact_lock(hashtext('jobyard dead tickets')) or not exists (
      select from pg_stat_user_tables where relid = 'job'::regclass
        and n_dead_tup >= ${deadTickets.least} and n_dead_tup >= ${deadTickets.timesTheLiving} * n_live_tup
    ) then return; end if;
    perform set_config('lock_timeout', '${shedWithinMs}', true);
    lock table job, job_log, job_dependency, event in access exclusive mode;
    if exists (select from job_log) or exists (select from job_dependency) then return; end if;
    living := array(select j from job j);
    truncate job, job_log, job_dependency, event;
    insert into job select (each).* from unnest(living) as each;
  end
$$`
const lockNotAvailable = '55P03'

/** Tickets in BullMQ's Postgres backend, for installations without Redis. */
export class PostgresCarrier implements CarrierBackend {
  readonly kind = 'postgres'
  readonly addedSingly = bulkCostsAs
  readonly #databaseUrl: string
  readonly #pool: pg.Pool

  /** @param listeners queues that are served, each of which holds a connection to listen on. */
  constructor(databaseUrl: string, listeners: number, onError: (error: Error) => void) {
    this.#databaseUrl = databaseUrl
    this.#pool = new pg.Pool({
      connectionString: databaseUrl,
      options: searchPath,
      application_name: 'jobyard-carrier',
      max: statementConnections + listeners,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      statement_timeout: statementTimeoutMs,
      stream: () => new WatchedSocket(silentMs),
    })
    this.#pool.setMaxListeners(0)
    this.#pool.on('error', onError)
    // BullMQ borrows connections to make itself ready, and does not listen to them: one that is lost then would end the process.
    this.#pool.on('connect', (client) => client.on('error', onError))
  }

  createQueue(name: string, options: Parameters<CarrierBackend['createQueue']>[1]): TicketQueue {
    const queue: PostgresQueue = new Queue(
      name,
      { ...options, connection: this.#pool as PgPool },
      createPostgresBackend,
    )
    return queue
  }

  createWorker(name: string, options: Parameters<CarrierBackend['createWorker']>[1]): TicketWorker {
    return new FetchingWorker<PostgresQueueBackend, PostgresConnectionOptions>(
      name,
      null,
      { ...options, connection: this.#pool as PgPool },
      createPostgresBackend,
    )
  }

  async migrate(): Promise<void> {
    const client = new pg.Client({ connectionString: this.#databaseUrl, options: searchPath })
    await client.connect()
    try {
      await runMigrations(client, schema)
    } finally {
      await client.end()
    }
  }

  async check(): Promise<void> {}

  /**
   * BullMQ measures by the clock of each process. After one that was a year ahead nobody looks for stalled tickets for a year, nor
   * are those free that it held; a probe among them would hide every lost ticket of its queue and priority.
   */
  async forgetWrongClocks(): Promise<void> {
    await this.#pool.query(
      `with latest as (select (extract(epoch from clock_timestamp()) * 1000)::bigint + $1::bigint as ms),
       looks as (
         delete from meta using latest
         where case field when 'stalled-check' then value::bigint end > latest.ms
       )
       update job set locked_until_ms = latest.ms from latest where state = 'active' and locked_until_ms > latest.ms`,
      [clocksDifferByMs],
    )
  }

  /**
   * Every search for a ticket walks over those that are gone since the last vacuum, and a transaction that somebody leaves open, in any
   * database, keeps vacuum from removing them: after a minute at 150 jobs a second, each walk takes longer than a job has.
   */
  async shedDeadTickets(): Promise<void> {
    await this.#pool.query(shedding).catch((error: unknown) => {
      if (errorCode(error) !== lockNotAvailable) throw error
    })
  }

  async ping(): Promise<void> {
    await this.#pool.query('select pg_current_xact_id()') // refused where nothing can be written
  }

  async disconnect(): Promise<void> {
    await this.#pool.end()
  }
}
