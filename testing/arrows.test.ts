import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Which packages of ours each package may import; tests may import `testing` besides. */
const arrows: Record<string, string[]> = {
  db: [],
  outbound: [],
  queues: ['db'],
  api: ['db', 'queues', 'outbound'],
  workers: ['db', 'queues', 'outbound'],
  scripts: ['db', 'queues'],
}
const sources = Object.keys(arrows).flatMap((from) =>
  globSync(`${from}/**/*.ts`, { cwd: root })
    .filter((file) => !file.includes('node_modules') && !file.endsWith('.test.ts'))
    .map((file) => ({ from, file, imports: importsOf(readFileSync(root + file, 'utf8')) })),
)

function importsOf(text: string): string[] {
  return [...text.matchAll(/^(?:import|export)\b[^'\n]*(?:\n[^'\n]*)*?from '([^']+)'/gm)].map(([, path]) => path ?? '')
}

it('finds the sources and their imports', () => {
  expect(sources.length).toBeGreaterThan(60)
  expect(sources.find(({ file }) => file === 'queues/intake.ts')?.imports).toContain('@jobyard/db/intake')
})

it('packages import only along the arrows', () => {
  const wrong = sources.flatMap(({ from, file, imports }) =>
    imports
      .map(
        (path) =>
          /^@jobyard\/([a-z]+)/.exec(path)?.[1] ??
          /^\.\.\/(?:\.\.\/)*(api|db|outbound|queues|scripts|testing|workers|chaos)\//.exec(path)?.[1],
      )
      .filter((to) => to !== undefined && to !== from && !arrows[from]?.includes(to))
      .map((to) => `${file} → ${to}`),
  )
  expect(wrong).toEqual([])
})

it('BullMQ and ioredis are known to queues alone, and BullMQ’s types to the job worker', () => {
  const importers = (name: RegExp) =>
    sources.filter(({ imports }) => imports.some((path) => name.test(path))).map(({ file }) => file)
  expect(importers(/^bullmq/).filter((file) => !file.startsWith('queues/'))).toEqual(['workers/job-worker.ts'])
  expect(importers(/^ioredis/).filter((file) => !file.startsWith('queues/'))).toEqual([])
  expect(importers(/^fastify/).filter((file) => !file.startsWith('api/'))).toEqual([])
})
