import { connect, type Database } from '@jobyard/db/connect'
import {
  lockSequence,
  notify,
  placedChannel,
  placeEvents,
  placeLimit,
  unlockSequence,
  unplacedChannel,
} from '@jobyard/db/sequence'
import { withDeadline } from '@jobyard/queues/deadline'
import type { Logger } from 'pino'

export interface SequencerOptions {
  readonly databaseUrl: string
  /** Called when there may be events to place. */
  readonly onUnplaced?: () => void
  /** Called when events got their places. */
  readonly onPlaced?: () => void
  readonly log: Logger
}

/** Time that ceasing to listen may take, in milliseconds. */
const unlistenWithinMs = 1_000
/** Rounds after which one looks at all events, and not only at late ones: a minute's. */
const fullRoundEvery = 60

/**
 * Gives the events of all jobs their places in the stream. Any number of processes may try: one holds the lock, on a connection of
 * its own.
 */
export class Sequencer {
  readonly #db: Database
  readonly #options: SequencerOptions
  #leads = false
  #last: string | undefined
  #rounds = 0
  #listening: Promise<{ unlisten: () => Promise<void> }> | undefined

  constructor(options: SequencerOptions) {
    this.#options = options
    this.#db = connect(options.databaseUrl, { applicationName: 'jobyard-sequencer', max: 1 })
  }

  /** Whether this process was the sequencer when it last looked. */
  get leads(): boolean {
    return this.#leads
  }

  /** Places a batch of events, if this process is the sequencer or can become it. @returns whether there may be more. */
  async runOnce(): Promise<boolean> {
    const { sql } = this.#db
    if (!this.#leads) await this.#lead(await lockSequence(sql))
    if (!this.#leads) return false
    const placing = await placeEvents(sql, this.#rounds++ % fullRoundEvery === 0 ? undefined : this.#last)
    if (!placing.held) {
      await this.#lead(false)
      return true
    }
    this.#last = placing.last ?? this.#last
    if (placing.events === 0) return false
    this.#options.onPlaced?.()
    await notify(sql, placedChannel)
    return placing.rows >= placeLimit
  }

  /** Tells whoever is the sequencer that there may be events to place. */
  async nudge(): Promise<void> {
    if (this.#leads) this.#options.onUnplaced?.()
    else await notify(this.#db.sql, unplacedChannel)
  }

  /** Lets another process take over. No round may be under way, or come after. */
  async stepDown(): Promise<void> {
    if (this.#leads) await unlockSequence(this.#db.sql).catch(() => {})
    this.#leads = false
  }

  /** Lets go of the lock and of the connections. */
  async close(): Promise<void> {
    await this.stepDown()
    await this.#db.close()
  }

  async #lead(leads: boolean): Promise<void> {
    this.#leads = leads
    this.#last = undefined
    this.#rounds = 0
    const { log, onUnplaced } = this.#options
    if (leads) log.info('This process gives events their places')
    if (leads && onUnplaced)
      await this.#listen(onUnplaced).catch((error: unknown) =>
        log.warn({ err: error }, 'Nudges are not heard; events are looked for every second'),
      )
  }

  /** Listens anew: who lost the lock lost its connections, and the driver may have given up listening. */
  async #listen(onUnplaced: () => void): Promise<void> {
    await this.#listening
      ?.then(({ unlisten }) => withDeadline(unlisten(), unlistenWithinMs, 'Unlistening'))
      .catch(() => {})
    this.#listening = this.#db.sql.listen(unplacedChannel, onUnplaced)
    await this.#listening
  }
}
