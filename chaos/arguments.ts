import { parseArgs } from 'node:util'
import type { CarrierKind } from '@jobyard/testing/platform'

/** Parts of a run, in the order in which they run, with the minutes that each has in a full and in a quick run. */
export const parts = {
  storm: { minutes: 12, quickMinutes: 1.5 },
  rows: { minutes: 4, quickMinutes: 1 },
  receivers: { minutes: 10, quickMinutes: 0.2 },
  schedules: { minutes: 2, quickMinutes: 0.3 },
  recovery: { minutes: 6, quickMinutes: 1 },
  exact: { minutes: 6, quickMinutes: 1 },
  sequences: { minutes: 5, quickMinutes: 0.5 },
} as const
export type PartName = keyof typeof parts

/** What the user asked for. */
export interface ChaosArguments {
  readonly parts: readonly PartName[]
  readonly carriers: readonly CarrierKind[]
  readonly seed: number
  readonly quick: boolean
  /** Minutes for each part on each carrier. */
  readonly minutes: (part: PartName) => number
  /** Rows of the table of faults that are tried; all when empty. */
  readonly rows: readonly number[]
  /** Whether the code is broken on purpose, to see the parts notice it. */
  readonly mutations: boolean
  /** Whether what is found is added to the record of this commit. */
  readonly append: boolean
}

const carrierNames: Record<string, CarrierKind> = { redis: 'redis', embedded: 'postgres' }
/** Of the table of faults in docs/reliability.md. */
const lastRow = 36
const largestSeed = 2 ** 31 - 1
const usage = `Usage: npm run chaos [-- ${Object.keys(parts).join('|')} …] [--carrier redis|embedded] [--seed n] [--minutes n] [--row n] [--quick] [--append] [--mutations]`

/**
 * Reads the command line. Without names every part runs, without `--carrier` on both, without `--seed` a new one is drawn.
 *
 * @throws Error with one line that says what is wrong.
 */
export function parseArguments(words: readonly string[], drawSeed: () => number): ChaosArguments {
  const { values, positionals } = split(words)
  const names = Object.keys(parts) as PartName[]
  const unknown = positionals.find((name) => !names.includes(name as PartName))
  if (unknown !== undefined) throw new Error(`There is no part "${unknown}"; there are ${names.join(', ')}.`)
  const carrier = values.carrier === undefined ? undefined : carrierNames[values.carrier]
  if (values.carrier !== undefined && !carrier) {
    throw new Error(`--carrier takes redis or embedded, not "${values.carrier}".`)
  }
  const minutes = values.minutes === undefined ? undefined : numberOf('--minutes', values.minutes, 0.1, 600)
  const { quick, append, mutations } = values
  return {
    parts: positionals.length === 0 ? names : names.filter((name) => positionals.includes(name)),
    carriers: carrier ? [carrier] : ['redis', 'postgres'],
    seed: values.seed === undefined ? drawSeed() : numberOf('--seed', values.seed, 1, largestSeed),
    quick,
    minutes: (part) => minutes ?? (quick ? parts[part].quickMinutes : parts[part].minutes),
    rows: values.row.map((text) => numberOf('--row', text, 1, lastRow)),
    mutations,
    append,
  }
}

/** @returns a seed by chance. */
export function drawSeed(): number {
  return 1 + Math.floor(Math.random() * largestSeed)
}

function split(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        carrier: { type: 'string' },
        seed: { type: 'string' },
        minutes: { type: 'string' },
        row: { type: 'string', multiple: true, default: [] },
        quick: { type: 'boolean', default: false },
        append: { type: 'boolean', default: false },
        mutations: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    const [problem] = String((error as Error).message).split('. ')
    throw new Error(`${problem}. ${usage}`)
  }
}

function numberOf(option: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (text.trim() !== '' && value >= least && value <= most) return value
  throw new Error(`${option} takes a number from ${least} to ${most.toLocaleString('en')}, not "${text}".`)
}
