import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { writeFigures } from './figures.ts'
import type { Report } from './report.ts'

/** What all runs of one state of the platform's code have found; `commit` is the last one that touched it. */
export interface ChaosRecord {
  readonly commit: string
  readonly date: string
  readonly reports: readonly Report[]
}

const file = new URL('results.json', import.meta.url)
/** What runs with faults: commits that touch none of it go on with the record. */
const platform = ['api', 'workers', 'queues', 'db', 'outbound', 'package-lock.json']

/** Adds reports to those of the same code, in place of those of any other, and writes the figures into the documentation. */
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
  const paths = platform.map((path) => `:(top)${path}`)
  const { stdout: commit } = await run('git', ['log', '-1', '--abbrev=12', '--format=%h', '--', ...paths], options)
  const { stdout: changed } = await run('git', ['diff', '--name-only', 'HEAD', '--', ...paths], options)
  return `${commit.trim()}${changed ? '-dirty' : ''}`
}
