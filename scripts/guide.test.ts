import { copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  checkout,
  makeFolder,
  paste,
  readBlocks,
  runToEnd,
  startProgram,
  type Block,
  type StartedProgram,
} from '../testing/walkthrough.ts'

const blocks = readBlocks(await readFile(join(checkout, 'docs/guides/add-a-job-type.md'), 'utf8'))
const commands = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text)
const testCommands = commands.filter((text) => text.includes('vitest')).join('')
const [validCall = '', invalidCall = ''] = commands.filter((text) => text.includes('curl'))

/** A bare machine needs about ten seconds for everything in the guide; one that runs all tests at once needs more. */
const longestMs = 60_000

let folder: string
let program: StartedProgram
let checks: Promise<[string, string]>
beforeAll(async () => {
  folder = await makeFolder()
  await copyCheckout()
  for (const block of blocks) await apply(block)
  checks = Promise.all([paste(testCommands, { folder }), runToEnd('tsc', ['--noEmit'], folder)])
  checks.catch(() => {}) // the last test tells
  program = await startProgram(folder, join(folder, 'scripts/start.ts'))
}, longestMs)
afterAll(async () => {
  await program?.interrupt()
  await Promise.allSettled([checks])
  await rm(folder, { recursive: true, force: true })
})

const read = async (command: string): Promise<Record<string, unknown>> =>
  JSON.parse(await paste(command, { folder, host: program.host }))

it('The guide adds a type that runs, with the result that the guide shows', async () => {
  const { text = '' } = blocks.find(({ language }) => language === 'json') ?? {}
  const shown: Record<string, unknown> = JSON.parse(text)
  const { type, queue, status, maxAttempts, timeoutMs, input, output } = shown
  const job = await read(validCall)
  expect(job).toMatchObject({ type, queue, status, maxAttempts, timeoutMs, input, output })
  expect(Object.keys(job)).toEqual(Object.keys(shown))
})

it('The contract of the guide refuses what the guide says', async () => {
  expect(await read(invalidCall)).toMatchObject({ status: 422, errors: [{ path: 'input.lines' }] })
})

it('The board and the list of types show the type of the guide', async () => {
  const key = (await readFile(join(folder, '.jobyard/admin-key'), 'utf8')).trim()
  const types = await fetch(`http://${program.host}/v1/job-types`, { headers: { authorization: `Bearer ${key}` } })
  expect(await types.text()).toMatch(/"invoice\.total".*"price\.convert".*"batch":\{"size":100,"maxWaitMs":50\}/)
  const authorization = `Basic ${btoa(`anybody:${key}`)}`
  const board = await fetch(`http://${program.host}/board/api/queues`, { headers: { authorization } })
  expect(await board.text()).toContain('"invoices"')
})

it(
  'The tests of the guide pass, and its code fits the types',
  async () => {
    const [printed] = await checks
    expect(printed).toContain('3 passed')
  },
  longestMs,
)

async function copyCheckout(): Promise<void> {
  const listed = await runToEnd('git', ['ls-files', '-co', '--exclude-standard', '-z'], checkout)
  await Promise.all(listed.split('\0').filter(Boolean).map(copy))
  const ours = await readdir(join(checkout, 'node_modules/@jobyard'))
  const others = (await readdir(join(checkout, 'node_modules'))).filter(
    (name) => name !== '@jobyard' && (name === '.bin' || !name.startsWith('.')),
  )
  await mkdir(join(folder, 'node_modules/@jobyard'), { recursive: true })
  await Promise.all([
    ...ours.map((name) => symlink(join(folder, name), join(folder, 'node_modules/@jobyard', name))),
    ...others.map((name) => symlink(join(checkout, 'node_modules', name), join(folder, 'node_modules', name))),
  ])
}

/** A file that git still lists but that is gone is no part of the checkout. */
async function copy(file: string): Promise<void> {
  await mkdir(dirname(join(folder, file)), { recursive: true })
  await copyFile(join(checkout, file), join(folder, file)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

async function apply({ language, file, text }: Block): Promise<void> {
  if (file === undefined) return
  const path = join(folder, file)
  if (language === 'ts') await writeFile(path, text, { flag: 'wx' })
  if (language === 'diff')
    await writeFile(
      path,
      text
        .trimEnd()
        .split('\n\n')
        .reduce(applyHunk, await readFile(path, 'utf8')),
    )
}

function applyHunk(source: string, hunk: string): string {
  const side = (sign: string) =>
    hunk
      .split('\n')
      .filter((line) => line.startsWith(' ') || line.startsWith(sign))
      .map((line) => `${line.slice(1)}\n`)
      .join('')
  if (source.split(side('-')).length !== 2) throw new Error(`The guide changes lines that are not there:\n${side('-')}`)
  return source.replace(side('-'), () => side('+'))
}
