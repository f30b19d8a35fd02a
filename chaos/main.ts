import { runProcess } from '@jobyard/queues/process'
import { drawSeed, parseArguments, type PartName } from './arguments.ts'
import { formatReport, formatSummary } from './format.ts'
import { Progress } from '@jobyard/testing/progress'
import { appendReports } from './record.ts'
import type { Part, Report } from './report.ts'

const parts: Record<PartName, () => Promise<Part>> = {
  storm: async () => (await import('./storm/storm.ts')).storm,
  rows: async () => (await import('./rows/rows.ts')).rows,
  recovery: async () => (await import('./recovery/recovery.ts')).recovery,
}

async function main(): Promise<void> {
  const { parts: names, carriers, seed, minutes, append } = parseArguments(process.argv.slice(2), drawSeed)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  const progress = new Progress()
  const reports: Report[] = []
  for (const name of names) {
    const part = await parts[name]()
    for (const carrier of carriers) {
      const onProgress = (line: string) => progress.show(`${name}, ${carrier} carrier, seed ${seed} · ${line}`)
      const report = await part({ carrier, seed, minutes: minutes(name), onProgress })
      progress.clear()
      process.stdout.write(`\n${formatReport(report).join('\n')}\n`)
      reports.push(report)
      if (append) await appendReports([report])
    }
  }
  process.stdout.write(`\n${formatSummary(reports).join('\n')}\n`)
  if (reports.some(({ violations }) => violations.length > 0)) process.exitCode = 1
}

await runProcess(main)
process.exit()
