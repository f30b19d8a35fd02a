import { fileURLToPath } from 'node:url'
import { runProcess } from '@jobyard/queues/process'
import { parseArguments, reports, type PartName } from './arguments.ts'
import type { Part, PartSection } from './bench.ts'
import { Progress } from '@jobyard/testing/progress'
import { formatSection } from './results/format.ts'
import { joinResults } from './results/join.ts'
import { readCommit, readMachine } from './results/machine.ts'
import { readResults, writeResults } from './results/write.ts'
import { startServers } from './servers.ts'

const home = fileURLToPath(new URL('.', import.meta.url))

const parts: Record<PartName, () => Promise<Part>> = {
  process: async () => (await import('./process/process.ts')).processing,
  batched: async () => (await import('./process/process.ts')).processingInBatches,
  accept: async () => (await import('./accept/accept.ts')).accept,
  latency: async () => (await import('./latency/latency.ts')).latency,
  finished: async () => (await import('./growth/finished.ts')).finished,
  waiting: async () => (await import('./growth/waiting.ts')).waiting,
  idle: async () => (await import('./growth/idle.ts')).idle,
  endpoints: async () => (await import('./notify/endpoints.ts')).endpoints,
  deliveries: async () => (await import('./notify/deliveries.ts')).deliveries,
  arrival: async () => (await import('./notify/arrival.ts')).arrival,
  http: async () => (await import('./http/http.ts')).httpFace,
  streams: async () => (await import('./notify/streams.ts')).streams,
}

/** Parts that count statements. */
const counting: readonly PartName[] = ['idle', 'deliveries', 'streams']

async function main(): Promise<void> {
  const { out, report, ...options } = parseArguments(process.argv.slice(2), home)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  const progress = new Progress()
  const commit = await readCommit()
  progress.show('starting Postgres and Redis')
  const servers = await startServers({ countStatements: options.parts.some((part) => counting.includes(part)) })
  const machine = await readMachine(servers)
  const sections: PartSection[] = []
  for (const name of options.parts) {
    const part = await parts[name]()
    const found = await part({ ...options, servers, tell: (line) => progress.show(`${name} · ${line}`) })
    progress.clear()
    for (const section of found) process.stdout.write(`\n${formatSection(section).join('\n')}\n`)
    sections.push(...found.map((section) => ({ ...section, part: name })))
  }
  await servers.stop()
  if (out === undefined) return
  const found = { commit, date: new Date().toISOString(), machine, sections }
  const joined = joinResults(await readResults(out, report), found, reports[report].parts)
  await writeResults(out, report, joined)
  process.stdout.write(`\nWritten to ${out}\n`)
}

await runProcess(main)
process.exit(0)
