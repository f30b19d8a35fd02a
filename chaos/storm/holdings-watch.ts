import type { Member } from '../stage/crew.ts'
import type { Holdings } from '../stage/puppet.ts'

const everyMs = 10_000
const megabyte = 1_048_576

/** Watches what processes hold that live through everything, to see whether it grows. */
export class HoldingsWatch {
  readonly #samples: Map<Member, Holdings[]>
  #timer: NodeJS.Timeout | undefined
  #sampling: Promise<void> = Promise.resolve()

  constructor(members: readonly Member[]) {
    this.#samples = new Map(members.map((member) => [member, []]))
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#sampling = this.#sample()
    }, everyMs)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#sampling
  }

  /** @returns medians of the first and the last third of the time, by process and kind. */
  figures(): Record<string, number> {
    const figures: Record<string, number> = {}
    for (const [{ role }, samples] of this.#samples) {
      const third = Math.ceil(samples.length / 3)
      for (const [part, some] of [
        ['first third', samples.slice(0, third)],
        ['last third', samples.slice(-third)],
      ] as const) {
        const median = (pick: (holdings: Holdings) => number) => medianOf(some.map(pick))
        figures[`${role}, MiB, ${part}`] = median(({ rss }) => rss / megabyte)
        figures[`${role}, heap MiB, ${part}`] = median(({ heapUsed }) => heapUsed / megabyte)
        figures[`${role}, handles, ${part}`] = median(({ resources }) => resources)
        figures[`${role}, timers, ${part}`] = median(({ timers }) => timers)
      }
    }
    return figures
  }

  async #sample(): Promise<void> {
    for (const [member, samples] of this.#samples) {
      const holdings = await member.measure()
      if (holdings) samples.push(holdings)
    }
  }
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
