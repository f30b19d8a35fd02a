import { uptime } from 'node:os'
import type { Logger } from 'pino'

/** Jump of the clock between two looks from which it is not believed, in milliseconds. */
const jumpMs = 3_600_000
/** Difference from this process's clock from which a first look is not believed, in milliseconds. */
const differenceMs = 86_400_000

export interface SteadyClockOptions {
  /** Reads the clock that is looked after, in milliseconds since 1970. */
  readonly read: () => Promise<number>
  readonly log: Logger
  /** This process's clock, in milliseconds since 1970. */
  readonly wallClock?: () => number
  /** Time that has really passed, also while the machine slept, in milliseconds since any moment. */
  readonly passedMs?: () => number
}

/** Tells whether a clock can be believed. What is deleted by age must not go because a clock was set wrong for a minute. */
export class SteadyClock {
  readonly #options: Required<SteadyClockOptions>
  /** The last look that was believed. */
  #believed: { readonly clock: number; readonly passed: number } | undefined

  constructor(options: SteadyClockOptions) {
    this.#options = { wallClock: Date.now, passedMs: () => uptime() * 1_000, ...options }
  }

  /**
   * Looks at the clock, and warns when it is not to be believed: until it is back where it should be, or this process has started again.
   *
   * @throws what the reading throws.
   */
  async isSteady(): Promise<boolean> {
    const { read, passedMs, wallClock, log } = this.#options
    const [clock, passed] = [await read(), passedMs()]
    const expected = this.#believed ? this.#believed.clock + passed - this.#believed.passed : wallClock()
    const off = clock - expected
    if (Math.abs(off) <= (this.#believed ? jumpMs : differenceMs)) {
      this.#believed = { clock, passed }
      return true
    }
    log.warn(
      { offMs: Math.round(off) },
      `The clock of Postgres shows ${shown(clock)}, where ${shown(expected)} was expected; nothing is deleted by age until it does. ` +
        'Set it right, or start the workers again if it is.',
    )
    return false
  }
}

function shown(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) < 8.64e15 ? new Date(ms).toISOString() : String(ms)
}
