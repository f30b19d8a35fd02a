import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { writeFigures } from './figures.ts'
import type { Report } from './report.ts'

/** What all runs of one commit have found. */
export interface ChaosRecord {
  readonly commit: string
  readonly date: string
  readonly reports: readonly Report[]
}

const file = new URL('results.json', import.meta.url)
/** What runs write does not make a commit another one. */
const written = ['chaos/results.json', 'docs/reliability.md']

/** Adds reports to those of the same commit, in place of those of any other, and writes the figures into the documentation. */
export async function appendReports(reports: readonly Report[]): Promise<void> {
  const commit = await readCommit()
  const known = await readRecord()
  const earlier = known?.commit === commit ? known.reports : []
  const record = { commit, date: new Date().toISOString(), reports: [...earlier, ...reports] }
  await writeFile(file, `${JSON.stringify(record, undefined, 2)}\n`)
  await writeFigures(record)
}

async function readRecord(): Promise<ChaosRecord | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as ChaosRecord
  } catch {
    return undefined
  }
}

async function readCommit(): Promise<string> {
  const run = promisify(execFile)
  const options = { cwd: import.meta.dirname }
  const { stdout: commit } = await run('git', ['rev-parse', '--short=12', 'HEAD'], options)
  const others = written.map((path) => `:(top,exclude)${path}`)
  const { stdout: changed } = await run('git', ['diff', '--name-only', 'HEAD', '--', ':/', ...others], options)
  return `${commit.trim()}${changed ? '-dirty' : ''}`
}
