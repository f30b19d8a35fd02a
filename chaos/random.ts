import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator'

/** Chance that a seed decides: the same seed, asked the same questions in the same order, answers the same. */
export class Random {
  readonly #generator: RandomGenerator

  constructor(seed: number) {
    this.#generator = xoroshiro128plus(seed)
  }

  /** @returns a whole number from `least` to `most`, both included. */
  int(least: number, most: number): number {
    return uniformInt(this.#generator, least, most)
  }

  /** @returns one of the choices. @throws RangeError when there are none. */
  pick<Choice>(choices: readonly Choice[]): Choice {
    if (choices.length === 0) throw new RangeError('There is nothing to choose from')
    return choices[this.int(0, choices.length - 1)] as Choice
  }

  /** @returns true in so many of a hundred cases. */
  chance(percent: number): boolean {
    return this.int(1, 100) <= percent
  }

  /** @returns chance of its own for one actor, so that the timing of others does not change what it decides. */
  fork(): Random {
    return new Random(this.int(1, 2 ** 31 - 1))
  }
}
