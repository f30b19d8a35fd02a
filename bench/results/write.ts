import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drawChart } from './chart.ts'
import { chartFile, renderMarkdown } from './markdown.ts'
import type { Results } from './results.ts'

/** Writes `results.json`, and what is made from it: `RESULTS.md` and a chart for each section. */
export async function writeResults(folder: string, results: Results): Promise<void> {
  const charts = join(folder, 'charts')
  await mkdir(charts, { recursive: true })
  await writeFile(join(folder, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  await writeFile(join(folder, 'RESULTS.md'), renderMarkdown(results))
  for (const section of results.sections) await writeFile(join(charts, chartFile(section)), drawChart(section))
}
