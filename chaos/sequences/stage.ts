import { JobActions } from '@jobyard/api/job-actions'
import { connect, type Database } from '@jobyard/db/connect'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { lockSequence, placeEvents } from '@jobyard/db/sequence'
import { createCatalogue } from '@jobyard/queues/catalogue'
import { defineJob, type Contract } from '@jobyard/queues/define-job'
import { Circuit } from '@jobyard/queues/circuit'
import { Intake } from '@jobyard/queues/intake'
import { createLogger } from '@jobyard/queues/logger'
import { TicketSender } from '@jobyard/queues/tickets'
import { Heartbeat } from '@jobyard/workers/heartbeat'
import { Ownership } from '@jobyard/workers/ownership'
import { OwnershipCheck } from '@jobyard/workers/ownership-check'
import { z } from 'zod'
import { Bag, carrierOf } from './bag.ts'
import { addLedger } from './ledger.ts'

const log = createLogger('sequences', 'silent')
/** Long enough that no deadline of the platform ever passes during a sequence, in milliseconds. */
const leaseMs = 600_000

/** A record, a carrier and the parts of the platform that work on them, in this process. */
export interface Stage {
  readonly db: Database
  readonly bag: Bag
  readonly tickets: TicketSender
  readonly actions: JobActions
  /** Gives events their places, without which nothing is pruned. */
  place(): Promise<void>
  close(): Promise<void>
}

/** What a worker process remembers, and its heart. */
export interface WorkerProcess {
  readonly ownership: Ownership
  /** Its heartbeat, each with an ownership check after it. */
  readonly heartbeat: Pick<Heartbeat, 'register' | 'runOnce'>
}

/** A type whose jobs share tickets. */
export const batched: Contract = defineJob({
  type: 'sequence.batched',
  description: 'Travels with others',
  input: z.unknown(),
  output: z.unknown(),
  retry: { initialDelayMs: 1_000, maxDelayMs: 1_000 },
  batch: { size: 3 },
})

/**
 * Sets up the platform's parts on a migrated database, which must be used by nobody else.
 *
 * @throws the driver's error when Postgres cannot be reached.
 */
export async function openStage(databaseUrl: string): Promise<Stage> {
  const db = connect(databaseUrl, { applicationName: 'jobyard-sequences', max: 8, maxTransactions: 4 })
  const sequencer = connect(databaseUrl, { applicationName: 'jobyard-sequences', max: 1 })
  const bag = new Bag()
  const carrier = carrierOf(bag)
  const tickets = new TicketSender(carrier, { contracts: [batched], onLost: () => {} })
  const circuit = new Circuit({ probe: async () => db.sql`select 1` })
  const intake = new Intake({ sql: db.sql, transactions: db.transactions, tickets, circuit })
  await addLedger(db.sql)
  await ensureQueues(db.sql, [batched.queue])
  return {
    db,
    bag,
    tickets,
    actions: new JobActions({ db, carrier, intake, tickets, catalogue: createCatalogue([]) }),
    place: async () => {
      await lockSequence(sequencer.sql) // anew each time: the lock is lost when it is long until the next
      await placeEvents(sequencer.sql)
    },
    close: async () => {
      await Promise.all([db.close(), sequencer.close()])
    },
  }
}

/** @returns a worker process that has not entered itself in the record yet. */
export function newProcess({ db: { sql }, tickets }: Stage): WorkerProcess {
  const ownership = new Ownership()
  const describe = { host: 'sequence', pid: 1, queues: [batched.queue], concurrency: 1 }
  const heartbeat = new Heartbeat({ sql, ownership, describe, leaseMs, log })
  const check = new OwnershipCheck({ sql, ownership, tickets, answerWithinMs: leaseMs / 2, log })
  const beat = async () => {
    await heartbeat.runOnce()
    await check.runOnce()
  }
  return { ownership, heartbeat: { register: () => heartbeat.register(), runOnce: beat } }
}
