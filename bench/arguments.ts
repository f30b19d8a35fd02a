import { parseArgs } from 'node:util'

/** Parts of the benchmark, in the order in which they run. */
export const partNames = ['process', 'batched', 'accept', 'latency'] as const
export type PartName = (typeof partNames)[number]

/** What the user asked for. */
export interface BenchArguments {
  readonly parts: readonly PartName[]
  readonly quick: boolean
  readonly rounds: number
  /** Folder of the results; absent: they are only printed. */
  readonly out: string | undefined
}

const defaultRounds = 5
const quickRounds = 1
const maxRounds = 100

/**
 * Reads the command line: names of parts, `--quick`, `--rounds n`, `--out folder`. A whole run (all parts, at least the default
 * rounds, not quick) writes its results to `home` unless told otherwise; any other run writes only where it is told.
 *
 * @throws Error with one line that says what is wrong.
 */
export function parseArguments(words: readonly string[], home: string): BenchArguments {
  const { values, positionals } = split(words)
  const unknown = positionals.find((name) => !partNames.some((part) => part === name))
  if (unknown !== undefined) throw new Error(`There is no part "${unknown}"; there are ${partNames.join(', ')}.`)
  const parts = partNames.filter((part) => positionals.length === 0 || positionals.includes(part))
  const rounds = values.rounds === undefined ? undefined : parseRounds(values.rounds)
  const quick = values.quick
  const whole = !quick && parts.length === partNames.length && (rounds ?? defaultRounds) >= defaultRounds
  return {
    parts,
    quick,
    rounds: rounds ?? (quick ? quickRounds : defaultRounds),
    out: values.out ?? (whole ? home : undefined),
  }
}

function split(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { quick: { type: 'boolean', default: false }, rounds: { type: 'string' }, out: { type: 'string' } },
    })
  } catch (error) {
    const [problem] = String((error as Error).message).split('. ')
    throw new Error(
      `${problem}. Usage: npm run bench [-- ${partNames.join('|')} …] [--quick] [--rounds n] [--out folder]`,
    )
  }
}

function parseRounds(text: string): number {
  const rounds = Number(text)
  if (Number.isInteger(rounds) && rounds >= 1 && rounds <= maxRounds) return rounds
  throw new Error(`--rounds takes a whole number from 1 to ${maxRounds}, not "${text}".`)
}
