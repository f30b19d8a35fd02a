import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ReportName } from '../arguments.ts'
import { drawChart } from './chart.ts'
import { chartFile, renderMarkdown } from './markdown.ts'
import type { Results } from './results.ts'

const headings: Readonly<Record<ReportName, { title: string; command: string }>> = {
  results: { title: 'Benchmark results', command: 'npm run bench' },
  growth: { title: 'What grows with the jobs', command: 'npm run bench -- growth' },
  notify: { title: 'What telling others costs', command: 'npm run bench -- notify' },
  http: { title: 'What the HTTP face costs', command: 'npm run bench -- http' },
}

/** Writes `results.json`, and what is made from it: `RESULTS.md` and a chart for each section; or `growth.json` and so on. */
export async function writeResults(folder: string, report: ReportName, results: Results): Promise<void> {
  const charts = join(folder, 'charts')
  const figures = `${report}.json`
  const markdown = renderMarkdown({ ...headings[report], figures }, results)
  await mkdir(charts, { recursive: true })
  await writeFile(join(folder, figures), `${JSON.stringify(results, null, 2)}\n`)
  await writeFile(join(folder, `${report.toUpperCase()}.md`), markdown)
  for (const section of results.sections) await writeFile(join(charts, chartFile(section)), drawChart(section))
}

/** @returns what {@link writeResults} wrote there before; undefined when it did not. */
export async function readResults(folder: string, report: ReportName): Promise<Results | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, `${report}.json`), 'utf8')) as Results
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
