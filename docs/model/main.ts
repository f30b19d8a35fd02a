import { parseArgs } from 'node:util'
import { removals, scenarioOf, type Removal } from './removals.ts'
import { without } from './rules.ts'
import { scenarios, type Sketch } from './scenarios.ts'
import { search, type Finding, type Found } from './search.ts'
import { worldOf, type World } from './world.ts'

/** One row of a table: a world, and what is expected of it. */
interface Check {
  readonly name: string
  readonly world: World
  /** Undefined when all is to hold. */
  readonly breaks: Finding | undefined
}

const options = { full: { type: 'boolean', default: false }, traces: { type: 'boolean', default: false } } as const
const { full, traces } = parseArgs({ options }).values
const nameWidth = 64

function main(): void {
  const wanted = scenarios.filter(({ large = false }) => full || !large)
  const results = [
    ...table('The platform as it is', wanted.map(checkScenario)),
    ...table('One rule less', removals.map(checkRemoval)),
  ]
  const wrong = results.filter((isAsExpected) => !isAsExpected).length
  say(wrong === 0 ? '\nAll is as expected.' : `\n${wrong} of these are not as expected.`)
  process.exitCode = wrong === 0 ? 0 : 1
}

function checkScenario(scenario: Sketch): Check {
  return { name: scenario.name, world: worldOf(scenario), breaks: undefined }
}

function checkRemoval(removal: Removal): Check {
  const { rule, breaks, probeRepairs } = removal
  const name = probeRepairs ? `${rule}; the probe repairs it, so without` : rule
  return { name, world: worldOf(scenarioOf(removal), without(rule)), breaks }
}

/** Prints a table while it is found. @returns for each row whether it is as expected. */
function table(title: string, checks: readonly Check[]): boolean[] {
  say(`\n${title.padEnd(nameWidth)}   states     steps  depth  seconds  verdict`)
  return checks.map(({ name, world, breaks }) => {
    const found = search(world, (states) => showProgress(`${name.trim()}: ${states} states`))
    showProgress('')
    const finding = found.violation?.finding
    const isAsExpected = finding === breaks
    const verdict = `${finding ?? 'holds'}${isAsExpected ? '' : `, but expected: ${breaks ?? 'holds'}`}`
    say(`${name.padEnd(nameWidth)} ${figures(found)}  ${verdict}`)
    if (traces || !isAsExpected) for (const step of found.violation?.trace ?? []) say(`    ${step}`)
    return isAsExpected
  })
}

function figures({ states, steps, depth, seconds }: Found): string {
  const columns = [
    [states, 8],
    [steps, 9],
    [depth, 6],
    [seconds.toFixed(1), 8],
  ] as const
  return columns.map(([figure, width]) => String(figure).padStart(width)).join(' ')
}

function showProgress(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001B[K${text}`)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

main()
