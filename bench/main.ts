import { fileURLToPath } from 'node:url'
import { runProcess } from '@jobyard/queues/process'
import { parseArguments, type PartName } from './arguments.ts'
import type { Part, Section } from './bench.ts'
import { Progress } from './progress.ts'
import { formatSection } from './results/format.ts'
import { readCommit, readMachine } from './results/machine.ts'
import { writeResults } from './results/write.ts'
import { startServers } from './servers.ts'

const home = fileURLToPath(new URL('.', import.meta.url))

const parts: Record<PartName, () => Promise<Part>> = {
  process: async () => (await import('./process/process.ts')).processing,
  batched: async () => (await import('./process/process.ts')).processingInBatches,
  accept: async () => (await import('./accept/accept.ts')).accept,
  latency: async () => (await import('./latency/latency.ts')).latency,
}

async function main(): Promise<void> {
  const { out, ...options } = parseArguments(process.argv.slice(2), home)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  const progress = new Progress()
  const commit = await readCommit()
  progress.show('starting Postgres and Redis')
  const servers = await startServers()
  const machine = await readMachine(servers)
  const sections: Section[] = []
  for (const name of options.parts) {
    const part = await parts[name]()
    const found = await part({ ...options, servers, tell: (line) => progress.show(`${name} · ${line}`) })
    progress.clear()
    for (const section of found) process.stdout.write(`\n${formatSection(section).join('\n')}\n`)
    sections.push(...found)
  }
  await servers.stop()
  if (out === undefined) return
  await writeResults(out, { commit, date: new Date().toISOString(), machine, sections })
  process.stdout.write(`\nWritten to ${out}\n`)
}

await runProcess(main)
process.exit(0)
