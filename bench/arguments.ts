import { parseArgs } from 'node:util'

/** What can be measured: each report has its parts, in the order in which they run, and rounds when nothing is said. */
export const reports = {
  results: { parts: ['process', 'batched', 'accept', 'latency'], rounds: 5 },
  growth: { parts: ['finished', 'waiting', 'idle'], rounds: 3 },
  notify: { parts: ['endpoints', 'deliveries', 'arrival', 'streams'], rounds: 3 },
  http: { parts: ['http'], rounds: 5 },
} as const
/** Name of the files that a report is written to. */
export type ReportName = keyof typeof reports
export type PartName = (typeof reports)[ReportName]['parts'][number]

/** What the user asked for. */
export interface BenchArguments {
  readonly report: ReportName
  /** Parts of the report. */
  readonly parts: readonly PartName[]
  readonly quick: boolean
  readonly rounds: number
  /** Folder of the report; absent: it is only printed. */
  readonly out: string | undefined
}

/** Reports that are asked for by their name, and whose parts run by themselves. */
const special = ['growth', 'notify', 'http'] as const
const quickRounds = 1
const maxRounds = 100

/**
 * Reads the command line: names of parts, `growth`, `notify` or `http` for all of its parts, `--quick`, `--rounds n`, `--out folder`. Without a
 * name the parts of `results` run. Written to `home` unless told otherwise are: the results of a whole run (all their parts, at least
 * the default rounds), and any part of the others; quick ones never.
 *
 * @throws Error with one line that says what is wrong.
 */
export function parseArguments(words: readonly string[], home: string): BenchArguments {
  const { values, positionals } = split(words)
  const named = positionals.flatMap((name): readonly string[] => {
    const whole = special.find((each) => each === name)
    return whole ? reports[whole].parts : [name]
  })
  const report = special.find((each) => named.some(isIn(each))) ?? 'results'
  for (const name of named) checkName(name, report)
  const { rounds: defaultRounds } = reports[report]
  const all: readonly PartName[] = reports[report].parts
  const parts = all.filter((part) => named.length === 0 || named.includes(part))
  const quick = values.quick
  const rounds = values.rounds === undefined ? undefined : parseRounds(values.rounds)
  const whole = parts.length === all.length && (rounds ?? defaultRounds) >= defaultRounds
  const kept = !quick && (whole || report !== 'results')
  return {
    report,
    parts,
    quick,
    rounds: rounds ?? (quick ? quickRounds : defaultRounds),
    out: values.out ?? (kept ? home : undefined),
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
    const ofSpecial = special.flatMap((name) => [name, ...reports[name].parts])
    const names = [...new Set([...reports.results.parts, ...ofSpecial])]
    throw new Error(`${problem}. Usage: npm run bench [-- ${names.join('|')} …] [--quick] [--rounds n] [--out folder]`)
  }
}

function isIn(report: ReportName) {
  return (name: string) => reports[report].parts.some((part) => part === name)
}

function checkName(name: string, report: ReportName): void {
  if (isIn(report)(name)) return
  if (Object.values(reports).some(({ parts }) => parts.some((part) => part === name)))
    throw new Error(`The parts of ${report} run by themselves, without ${name}.`)
  const ofSpecial = special.map((each) => `of ${each} ${reports[each].parts.join(', ')}`)
  throw new Error(
    `There is no part "${name}"; there are ${[reports.results.parts.join(', '), ...ofSpecial].join('; ')}.`,
  )
}

function parseRounds(text: string): number {
  const rounds = Number(text)
  if (Number.isInteger(rounds) && rounds >= 1 && rounds <= maxRounds) return rounds
  throw new Error(`--rounds takes a whole number from 1 to ${maxRounds}, not "${text}".`)
}
