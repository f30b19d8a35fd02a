import { expect, it, onTestFinished } from 'vitest'
import { openEdge } from '../testing/edge.ts'
import { fuzz, type FuzzReport } from '../testing/fuzz/fuzz.ts'
import { carrierKinds } from '../testing/platform.ts'
import type { Document } from './openapi/document.ts'

/** Requests to the APIs of both carriers together. */
const requests = Number(process.env.FUZZ_REQUESTS ?? 5_000)
const seed = Number(process.env.FUZZ_SEED ?? 1)
const timeoutMs = 60_000 + requests * 10

it.each(carrierKinds)(
  'Whatever is sent, the answer is one that the OpenAPI document describes (%s)',
  async (kind) => {
    const edge = await openEdge(kind)
    onTestFinished(() => edge.stop())
    const document = (await edge.app.inject('/openapi.json')).json<Document>()
    const known = { queues: ['default'], schedules: ['tick'], jobs: await edge.endedJobs() }
    const report = await fuzz({ port: edge.port, document, requests: Math.ceil(requests / 2), seed, known })
    print(kind, report)
    expect(report.findings).toEqual([])
    expect(report.distinct).toBeGreaterThan(report.requests * 0.7)
    expect(successes(report)).toBeGreaterThan(report.requests * 0.1)
    expect(neverDone(document, report).length).toBeLessThan(report.succeeded.size / 4)
    expectFlat(report)
  },
  timeoutMs,
)

const successes = ({ statuses }: FuzzReport) => (statuses[200] ?? 0) + (statuses[201] ?? 0) + (statuses[202] ?? 0)

function neverDone(document: Document, { succeeded }: FuzzReport): string[] {
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path))
  return operations.map(({ operationId }) => operationId).filter((id) => !succeeded.has(id))
}

/** The first third warms up, in a short run all of it. */
function expectFlat({ memory }: FuzzReport): void {
  const [end, third] = [memory.at(-1), memory.at(1)]
  expect((end?.heap ?? 0) - (third?.heap ?? 0)).toBeLessThan(requests < 50_000 ? 100 : 20)
}

function print(kind: string, { statuses, findings, ...report }: FuzzReport): void {
  const counts = Object.entries(statuses).map(([status, count]) => `${status}: ${count}`)
  const memory = report.memory.map(({ heap, rss }) => `${heap} MB heap, ${rss} MB`).join(' → ')
  process.stdout.write(
    `${kind}: ${report.requests} requests, ${report.distinct} distinct, seed ${seed}\n  ${counts.join(', ')}\n  ${memory}\n  ${findings.join('\n  ')}\n`,
  )
}
