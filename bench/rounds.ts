import type { Bench, Row } from './bench.ts'
import { rotate } from './statistics.ts'

/** What a table says about a contestant besides its figures. */
export interface Named {
  readonly name: string
  readonly note: string
}

/**
 * Measures every contestant once a round. They take turns, and each round begins with another one, so that slow minutes of the
 * machine strike all alike.
 *
 * @returns one row per contestant, in the order given, with one value per round.
 * @throws what `measure` threw, with the contestant's name.
 */
export async function takeTurns<Contestant extends Named>(
  bench: Bench,
  contestants: readonly Contestant[],
  measure: (contestant: Contestant) => Promise<number>,
): Promise<Row[]> {
  const { rounds } = bench
  const values = new Map<Contestant, number[]>(contestants.map((contestant) => [contestant, []]))
  for (let round = 0; round < rounds; round++) {
    for (const contestant of rotate(contestants, round)) {
      bench.tell(`round ${round + 1} of ${rounds} · ${contestant.name}`)
      const value = await measure(contestant).catch((error: unknown) => {
        throw new Error(`${contestant.name}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        })
      })
      values.get(contestant)?.push(value)
    }
  }
  return [...values].map(([{ name, note }, measured]) => ({ contestant: name, note, values: measured }))
}
