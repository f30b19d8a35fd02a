import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createDatabase } from '../testing/postgres.ts'
import { checkout, makeFolder, paste, readBlocks, startProgram, type StartedProgram } from '../testing/walkthrough.ts'

const blocks = readBlocks(await readFile(join(checkout, 'docs/schedules.md'), 'utf8'))
const [put = '', preview = '', trigger = '', occurrences = ''] = blocks
  .filter(({ language, text }) => language === 'sh' && text.includes('curl'))
  .map(({ text }) => text)
const file = blocks.find(({ language }) => language === 'yaml')?.text ?? ''

/** A start takes about three seconds; on a machine that runs all tests at once, several times that. */
const longestMs = 60_000

let folder: string
let program: StartedProgram
beforeAll(async () => {
  folder = await makeFolder()
  await writeFile(join(folder, 'schedules.yaml'), file.replace('nightly-report', 'of-the-file'))
  program = await startProgram(folder, undefined, { JOBYARD_SCHEDULES: join(folder, 'schedules.yaml') })
}, longestMs)
afterAll(async () => {
  await program?.interrupt()
  await rm(folder, { recursive: true, force: true })
})

const call = async (lines: string) => JSON.parse(await paste(lines, { folder, host: program.host }))

it(
  'The commands of the page make a schedule, tell when it fires, run it and say what became of it',
  async () => {
    const schedule = await call(put)
    expect(schedule).toMatchObject({ name: 'nightly-report', source: 'api', cron: '30 2 * * *', paused: false })
    expect(schedule.nextRuns).toHaveLength(5)
    expect((await call(preview)).runs).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ])
    const job = await call(trigger)
    expect(job).toMatchObject({ type: 'echo', metadata: { schedule: 'nightly-report' } })
    expect((await call(occurrences)).items).toMatchObject([{ manual: true, outcome: 'fired', job: { jobId: job.id } }])
  },
  longestMs,
)

it(
  'Workers have applied the file of the page',
  async () => {
    const list = occurrences.replace('/nightly-report/occurrences', '')
    const named = async () =>
      (await call(list)).items.map(({ name, source }: Record<string, string>) => `${name} ${source}`)
    await expect.poll(named).toEqual(expect.arrayContaining(['heartbeat file', 'of-the-file file']))
  },
  longestMs,
)

it('The command shows what the file would change, does it, and finds nothing to change then', async () => {
  const database = await createDatabase(inject('postgresAdminUrl'))
  const run = async (...options: string[]) => {
    const environment = {
      ...process.env,
      DATABASE_URL: database.url,
      JOBYARD_SCHEDULES: join(folder, 'schedules.yaml'),
    }
    const program = [join(checkout, 'scripts/schedules.ts'), ...options]
    return (await promisify(execFile)(process.execPath, program, { env: environment })).stdout
  }
  const created = '+ created    heartbeat\n+ created    of-the-file\n'
  expect(await run('--dry-run')).toBe(`${created}Nothing was done: a dry run.\n`)
  expect(await run()).toBe(`${created}Done.\n`)
  expect(await run()).toBe('  unchanged  heartbeat\n  unchanged  of-the-file\nDone.\n')
  await database.drop()
})
