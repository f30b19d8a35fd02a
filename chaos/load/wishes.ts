import type { Random } from '../random.ts'
import type { Wish } from './ledger.ts'

/** Makes the jobs of an ordinary day: mostly quick ones, some slow, failing, delayed, batched, or of other priorities. */
export function ordinaryWish(random: Random): Wish {
  const value = random.int(0, 1_000_000_000)
  const roll = random.int(1, 100)
  if (roll <= 60) return echo({ value })
  if (roll <= 75) return echo({ value, sleepMs: random.int(1, 400) })
  if (roll <= 80) return { ...echo({ value, failTimes: 1 }), failures: 1 }
  if (roll <= 85) return { ...echo({ value }), delayMs: random.int(1, 3_000) }
  if (roll <= 90) return { ...echo({ value }), priority: random.int(1, 9) }
  return { type: 'github.event', input: { event: 'ping', delivery: String(value), payload: {} }, failures: 0 }
}

/** Makes a job that is done at once. */
export function quickWish(random: Random): Wish {
  return echo({ value: random.int(0, 1_000_000_000) })
}

/** Makes a job that keeps its slot for so long. */
export function slowWish(sleepMs: number) {
  return (random: Random): Wish => echo({ value: random.int(0, 1_000_000_000), sleepMs })
}

function echo(input: { value: number; sleepMs?: number; failTimes?: number }): Wish {
  return { type: 'echo', input, failures: 0 }
}
