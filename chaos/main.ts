import { runProcess } from '@jobyard/queues/process'
import { Progress } from '@jobyard/testing/progress'
import { drawSeed, parseArguments, type ChaosArguments, type PartName } from './arguments.ts'
import { carrierName, formatMutation, formatReport, formatSummary } from './format.ts'
import { tryMutations } from './mutate.ts'
import { appendReports } from './record.ts'
import type { Part, Report } from './report.ts'

const parts: Record<PartName, () => Promise<Part>> = {
  storm: async () => (await import('./storm/storm.ts')).storm,
  rows: async () => (await import('./rows/rows.ts')).rows,
  receivers: async () => (await import('./receivers/part.ts')).receivers,
  schedules: async () => (await import('./schedules/part.ts')).schedules,
  recovery: async () => (await import('./recovery/recovery.ts')).recovery,
  exact: async () => (await import('./exact/exact.ts')).exact,
  sequences: async () => (await import('./sequences/part.ts')).sequences,
}

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2), drawSeed)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  const good = options.mutations ? await mutate(options) : await run(options)
  if (!good) process.exitCode = 1
}

/** @returns whether every promise was kept. */
async function run({ parts: names, carriers, seed, quick, minutes, rows, append }: ChaosArguments): Promise<boolean> {
  const progress = new Progress()
  const reports: Report[] = []
  if (quick) process.stdout.write(`${whatQuickLeavesOut}\n`)
  for (const name of names) {
    const part = await parts[name]()
    for (const carrier of name === 'sequences' ? carriers.slice(0, 1) : carriers) {
      const onProgress = (line: string) => progress.show(`${name}, ${carrierName(carrier)}, seed ${seed} · ${line}`)
      const report = await part({ carrier, seed, minutes: minutes(name), rows, onProgress })
      progress.clear()
      process.stdout.write(`\n${formatReport(report).join('\n')}\n`)
      reports.push(report)
      if (append) await appendReports([report])
    }
  }
  process.stdout.write(`\n${formatSummary(reports).join('\n')}\n`)
  return reports.every(({ violations }) => violations.length === 0)
}

/** @returns whether every deliberate break was noticed. */
async function mutate({ seed, quick }: ChaosArguments): Promise<boolean> {
  const progress = new Progress()
  let [caught, tried] = [0, 0]
  progress.show('copying the repository')
  for await (const { mutation, caught: isCaught, how } of tryMutations(seed, quick ? 0.2 : 1)) {
    progress.clear()
    tried++
    if (isCaught) caught++
    process.stdout.write(`${formatMutation(mutation.name, isCaught, how)}\n`)
    progress.show(`${tried} tried`)
  }
  progress.clear()
  process.stdout.write(`\n${caught} of ${tried} deliberate breaks were noticed.\n`)
  return caught === tried
}

const whatQuickLeavesOut = `A quick run: one and a half minutes of storm for each carrier instead of twelve, so not every fault strikes; trials that take longer
than a minute and most repetitions of recoveries are left out; receivers are told of 2,000 events instead of 100,000; of the exact faults and the sequences, a part that the seed chooses.`

await runProcess(main)
process.exit()
