import type { Bench, Row } from './bench.ts'
import { rotate } from './statistics.ts'

/** What a table says about a contestant besides its figures. */
export interface Named {
  readonly name: string
  readonly note: string
}

/** @returns one row per contestant, in the order given, with one value per round, as {@link measureInTurns} finds them. */
export async function takeTurns<Contestant extends Named>(
  bench: Bench,
  contestants: readonly Contestant[],
  measure: (contestant: Contestant) => Promise<number>,
): Promise<Row[]> {
  const found = await measureInTurns(bench, contestants, measure)
  return [...found].map(([{ name, note }, values]) => ({ contestant: name, note, values }))
}

/**
 * Measures every contestant once a round. They take turns, and each round begins with another one, so that slow minutes of the
 * machine strike all alike.
 *
 * @returns what was measured of each contestant, in the order given, one item per round.
 * @throws what `measure` threw, with the contestant's name.
 */
export async function measureInTurns<Contestant extends Named, Measured>(
  bench: Bench,
  contestants: readonly Contestant[],
  measure: (contestant: Contestant) => Promise<Measured>,
): Promise<Map<Contestant, Measured[]>> {
  const { rounds } = bench
  const found = new Map<Contestant, Measured[]>(contestants.map((contestant) => [contestant, []]))
  for (let round = 0; round < rounds; round++) {
    for (const contestant of rotate(contestants, round)) {
      bench.tell(`round ${round + 1} of ${rounds} · ${contestant.name}`)
      const measured = await measure(contestant).catch((error: unknown) => {
        throw new Error(`${contestant.name}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        })
      })
      found.get(contestant)?.push(measured)
    }
  }
  return found
}
