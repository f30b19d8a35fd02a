import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { checkout, makeFolder, paste, readBlocks, startProgram, type StartedProgram } from '../testing/walkthrough.ts'

const blocks = readBlocks(await readFile(join(checkout, 'README.md'), 'utf8'))
const calls = blocks.filter(({ language, text }) => language === 'sh' && text.includes('curl')).map(({ text }) => text)
const [firstCall = '', keyCalls = '', laterCall = '', streamCall = '', listCall = '', queuesCall = ''] = calls

/** A start takes about three seconds; on a machine that runs all tests at once, several times that. */
const longestMs = 60_000

let folder: string
let program: StartedProgram
beforeAll(async () => {
  folder = await makeFolder()
  program = await startProgram(folder)
}, longestMs)
afterAll(async () => {
  await program?.interrupt()
  await rm(folder, { recursive: true, force: true })
})

const answer = (lines: string) => paste(lines, { folder, host: program.host })
const call = async (lines: string) => JSON.parse(await answer(lines))

it('The first call answers as the README shows', async () => {
  const shown = JSON.parse(blocks.find(({ language }) => language === 'json')?.text ?? '')
  const answered = await call(firstCall)
  expect(shapeOf(answered)).toEqual(shapeOf(shown))
  expect(answered).toMatchObject({ status: shown.status, output: shown.output, maxAttempts: shown.maxAttempts })
})

it('The first job runs with a key that the API has made', async () => {
  expect(await call(keyCalls)).toMatchObject({ status: 'completed', output: { value: 'hello' } })
})

it('The other calls do what the README says', async () => {
  const { id } = await call(laterCall)
  expect(await call(laterCall)).toMatchObject({ id, status: 'scheduled', maxAttempts: 3 })
  const streamed = (await answer(streamCall)).trimEnd().split('\n')
  expect(streamed.map((line) => JSON.parse(line))).toEqual(
    [0, 1, 2].map((index) => ({ index, id: expect.any(String) })),
  )
  expect(await call(listCall)).toMatchObject({ items: [{ id }] })
  const { items } = await call(queuesCall)
  expect(items).toContainEqual(expect.objectContaining({ name: 'default', paused: false }))
  expect(calls).toHaveLength(6)
})

it(
  'Ctrl-C stops everything with exit code 0, and the next start has the jobs',
  async () => {
    const { id } = (await call(listCall)).items[0]
    expect(await program.interrupt()).toEqual({ code: 0, left: [] })
    program = await startProgram(folder)
    expect(await call(listCall)).toMatchObject({ items: [{ id, status: 'scheduled' }] })
  },
  longestMs,
)

/** Replaces every value by its type. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]))
}
