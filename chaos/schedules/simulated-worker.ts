import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Sql } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import type { Carrier } from '@jobyard/queues/carrier'
import { TicketSender } from '@jobyard/queues/tickets'
import { ScheduleTicker } from '@jobyard/workers/schedule-ticker'
import { pino } from 'pino'

/** A worker process, as far as schedules are concerned: connections of its own, and its ticker. */
export interface SimulatedWorker {
  /** Fires until nothing is due. @returns whether it came to that. */
  work(): Promise<boolean>
  /** Loses all connections in the middle of its work, as by a power cut. It is to be closed all the same. */
  dieAtWork(admin: Sql, afterMs: number): Promise<void>
  close(): Promise<void>
}

/** Waits that are over at once. */
const soonMs = 25
/** Rounds at one moment: at a clock that stands still, what is due in a millisecond stays so. */
const mostRounds = 100
/** Whether a round wants the next one at once, since something is or was due: also where another worker has it in hand, which may die. */
const isDue = (more: boolean | number) => more === true || (more !== false && more <= soonMs)

/** Starts one on a record whose clock is simulated. */
export function startSimulatedWorker(databaseUrl: string, openCarrier: () => Carrier): SimulatedWorker {
  const name = `simulated ${newId()}`
  const db = connect(databaseUrl, { applicationName: name, max: 2 })
  const carrier = openCarrier()
  const tickets = new TicketSender(carrier, { contracts: [], onLost: () => {} })
  const ticker = new ScheduleTicker({ sql: db.sql, tickets, onEvent: () => {}, log: pino({ level: 'silent' }) })
  const work = async () => {
    try {
      for (let round = 0; round < mostRounds && isDue(await ticker.runOnce()); round++);
      return true
    } catch {
      return false
    }
  }
  const close = async () => {
    await Promise.all([db.close(), carrier.close()])
  }
  return {
    work,
    close,
    dieAtWork: async (admin, afterMs) => {
      const working = work()
      await delay(afterMs)
      await admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name}`
      await working
    },
  }
}
