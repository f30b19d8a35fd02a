import { styleText } from 'node:util'
import type { Report } from './report.ts'

/** @returns what one part has found, for people. */
export function formatReport(report: Report): string[] {
  const { part, carrier, seed, seconds, violations, recoveries, figures } = report
  const title = `${part}, ${carrierName(carrier)}, seed ${seed}, ${Math.round(seconds)} s`
  const faults = [...Object.entries(report.faults.real), ...Object.entries(report.faults.exact)]
  return [
    styleText('bold', title),
    ...table(faults.map(([name, count]) => [name, `${count}×`])),
    ...table(Object.entries(recoveries).map(([name, times]) => [name, describeTimes(times)])),
    ...table(Object.entries(figures).map(([name, figure]) => [name, round(figure)])),
    ...table(promises(report)),
    ...violations.flatMap(({ invariant, what, timeline }) => [
      '',
      styleText('red', `${invariant} broken: ${what}`),
      ...timeline.map((line) => `    ${line}`),
    ]),
    ...(violations.length > 0 ? ['', replay(report)] : []),
  ]
}

/** @returns the sums over all parts. */
export function formatSummary(reports: readonly Report[]): string[] {
  const add = (pick: (report: Report) => number) => reports.reduce((sum, report) => sum + pick(report), 0)
  const total = {
    accepted: add(({ accepted }) => accepted),
    lost: add(({ lost }) => lost),
    doubled: add(({ doubled }) => doubled),
    eventsMissing: add(({ eventsMissing }) => eventsMissing),
  }
  const broken = add(({ violations }) => violations.length)
  const verdict =
    broken === 0 ? styleText('green', 'Every promise was kept.') : styleText('red', 'Promises were broken.')
  return [
    styleText('bold', 'In all'),
    ...table([
      ['faults in processes, servers and networks', count(add((report) => countOf(report.faults.real)))],
      ['faults at one statement or call', count(add((report) => countOf(report.faults.exact)))],
      ...promises(total),
    ]),
    verdict,
  ]
}

/** @returns one line that says whether a deliberate break was noticed, and how. */
export function formatMutation(name: string, caught: boolean, how: string): string {
  const verdict = caught ? styleText('green', 'noticed') : styleText('red', 'ESCAPED')
  return `${verdict}  ${name}\n         ${how.trim()}`
}

/** @returns what people call a carrier. */
export function carrierName(carrier: Report['carrier']): string {
  return carrier === 'redis' ? 'Redis' : 'embedded'
}

/** @returns how many faults these are. */
export function countOf(faults: Record<string, number>): number {
  return Object.values(faults).reduce((sum, each) => sum + each, 0)
}

type Promises = Pick<Report, 'accepted' | 'lost' | 'doubled' | 'eventsMissing'>

function promises({ accepted, lost, doubled, eventsMissing }: Promises): [string, string][] {
  return [
    ['jobs accepted under faults', count(accepted)],
    ['jobs lost', count(lost)],
    ['jobs with two results', count(doubled)],
    ['events missing', count(eventsMissing)],
  ]
}

function replay({ part, carrier, seed }: Report): string {
  return `To see it again: npm run chaos -- ${part} --carrier ${carrierName(carrier).toLowerCase()} --seed ${seed}`
}

function describeTimes(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) => `${((sorted[Math.ceil(share * sorted.length) - 1] ?? 0) / 1_000).toFixed(2)} s`
  return `worst ${at(1)}, half ${at(0.5)} (${times.length}×)`
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)
}

const count = (value: number) => value.toLocaleString('en')
const round = (value: number) => value.toLocaleString('en', { maximumSignificantDigits: 3 })
