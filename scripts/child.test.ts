import { readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Child } from './child.ts'

let folder: string
let child: Child | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jobyard-child-'))
})
afterEach(async () => {
  await child?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** A child that runs these lines; `heard` resolves with what its parent is told first. */
async function open(lines: string, logFile = join(folder, 'child.log')) {
  const file = join(folder, 'program.mjs')
  await writeFile(file, lines)
  const { promise: heard, resolve } = Promise.withResolvers<string>()
  child = new Child({ name: 'api', file, env: {}, logFile, onWaiting: resolve, onDeath: resolve })
  return { child, heard }
}

const openLogs = () => readdirSync('/proc/self/fd').length

it('Starting leaves no file open in the parent', async () => {
  const { child: first } = await open(`process.send({ working: true }, () => process.disconnect())`)
  const before = openLogs()
  expect(await first.start()).toEqual({ working: true })
  await first.stop()
  expect(openLogs()).toBe(before)
})

it('A start that fails gives the reason of this start', async () => {
  const { child: first } = await open(`console.error('No port is free'); process.exit(1)`)
  await writeFile(join(folder, 'child.log'), 'Of an earlier start\n')
  await expect(first.start()).rejects.toThrow(/^api did not start: No port is free\n.*child\.log$/)
})

it('A process that cannot be made is a failed start', async () => {
  const { child: first } = await open('', join(folder, 'no', 'such', 'folder.log'))
  await expect(first.start()).rejects.toThrow(/api did not start: .*ENOENT/)
  expect(await first.stop()).toBe(0)
})

it('A death right behind the report is noticed', async () => {
  const { child: first, heard } = await open(`process.send({ working: true }, () => process.exit(3))`)
  await first.start()
  expect(await heard).toBe('exit code 3')
})

it('What a process waits for is passed on, and is not its report', async () => {
  const { child: first, heard } = await open(`
    process.send({ waiting: 'Redis does not answer' })
    process.send({ working: true })
    setInterval(() => {}, 60_000)`)
  expect(await first.start()).toEqual({ working: true })
  expect(await heard).toBe('Redis does not answer')
})
