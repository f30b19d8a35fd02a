import { readFile, writeFile } from 'node:fs/promises'
import { carrierName, countOf } from './format.ts'
import type { ChaosRecord } from './record.ts'
import type { Report } from './report.ts'

const page = new URL('../docs/reliability.md', import.meta.url)
const [start, end] = ['<!-- figures -->', '<!-- end of figures -->']

/** Writes the figures of all runs of a commit into the page on reliability. */
export async function writeFigures(record: ChaosRecord): Promise<void> {
  const text = await readFile(page, 'utf8')
  const [before, rest] = text.split(start)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined)
    throw new Error(`${page.pathname} has no place for figures: ${start}`)
  await writeFile(page, `${before}${start}\n\n${describe(record).join('\n')}\n\n${end}${after}`)
}

/** @returns the figures as Markdown. */
export function describe({ commit, date, reports }: ChaosRecord): string[] {
  const carriers = [...new Set(reports.map(({ carrier }) => carrier))]
  const names = carriers.map(carrierName)
  const row = (name: string, pick: (report: Report) => number) => [
    name,
    ...carriers.map((carrier) => count(sum(reports.filter((report) => report.carrier === carrier).map(pick)))),
    count(sum(reports.map(pick))),
  ]
  const seeds = [...new Set(reports.map(({ seed }) => seed))].join(', ')
  return [
    `Commit \`${commit}\`, ${date.slice(0, 10)}, ${reports.length} parts of runs, ${Math.round(sum(reports.map(({ seconds }) => seconds)) / 60)} minutes, seeds ${seeds}.`,
    '',
    ...table(
      ['', ...names, 'in all'],
      [
        row('jobs accepted under faults', ({ accepted }) => accepted),
        row('faults in processes, servers and networks', ({ faults }) => countOf(faults.real)),
        row('faults at one statement or call', ({ faults }) => countOf(faults.exact)),
        row('jobs lost', ({ lost }) => lost),
        row('jobs with two results', ({ doubled }) => doubled),
        row('events missing', ({ eventsMissing }) => eventsMissing),
        row('other promises broken', ({ violations }) => violations.length),
      ],
    ),
    '',
    ...recoveries(reports),
    ...further(reports),
  ]
}

function recoveries(reports: readonly Report[]): string[] {
  const times = new Map<string, number[]>()
  for (const report of reports) {
    for (const [name, more] of Object.entries(report.recoveries)) {
      const key = `${name}, ${carrierName(report.carrier)}`
      times.set(key, [...(times.get(key) ?? []), ...more])
    }
  }
  if (times.size === 0) return []
  const seconds = (ms: number) => (ms / 1_000).toFixed(2)
  const rows = [...times].map(([name, all]) => {
    const sorted = all.toSorted((a, b) => a - b)
    return [name, String(all.length), seconds(sorted[Math.floor(all.length / 2)] ?? 0), seconds(sorted.at(-1) ?? 0)]
  })
  return [...table(['recovery, in seconds', 'times', 'half within', 'worst'], rows), '']
}

/** Figures of the longest run of each part on each carrier. */
function further(reports: readonly Report[]): string[] {
  const longest = new Map<string, Report>()
  for (const report of reports) {
    const key = `${report.part} ${report.carrier}`
    if (report.seconds > (longest.get(key)?.seconds ?? 0)) longest.set(key, report)
  }
  const rows = [...longest.values()].flatMap(({ part, carrier, figures }) =>
    Object.entries(figures).map(([name, figure]) => [
      part,
      carrierName(carrier),
      name,
      figure.toLocaleString('en', { maximumSignificantDigits: 3 }),
    ]),
  )
  return rows.length > 0 ? table(['part', 'carrier', 'figure of its longest run', ''], rows) : []
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.map(line)]
}

const count = (value: number) => value.toLocaleString('en')
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
