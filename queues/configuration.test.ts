import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { readConfiguration, serverVariables } from './configuration.ts'
import { checkRuntime } from './process.ts'

const url = 'postgres://localhost/jobyard'
const JOBYARD_SECRET = 'a secret of tests, with 32 letters'

it('reads variables, with defaults where they are unset or empty', () => {
  const environment = { DATABASE_URL: url, JOBYARD_SECRET, REDIS_URL: '', LOG_LEVEL: 'warn' }
  expect(readConfiguration(serverVariables, environment)).toEqual({
    DATABASE_URL: url,
    JOBYARD_SECRET,
    LOG_LEVEL: 'warn',
    SHUTDOWN_GRACE_MS: 25_000,
  })
})

it('reads a secret from the file that NAME_FILE names', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'jobyard-')), 'url')
  writeFileSync(file, `${url}\n`)
  expect(readConfiguration(serverVariables, { JOBYARD_SECRET, DATABASE_URL_FILE: file }).DATABASE_URL).toBe(url)
})

it('names every bad variable in one line', () => {
  const read = () => readConfiguration(serverVariables, { REDIS_URL: 'localhost', SHUTDOWN_GRACE_MS: 'soon' })
  expect(read).toThrow(
    /^Bad configuration: DATABASE_URL is not set.*REDIS_URL must look like redis.*SHUTDOWN_GRACE_MS[^\n]*$/,
  )
})

it('says what to do about an old runtime', () => {
  expect(() => checkRuntime('20.20.2')).toThrow('npm start')
  checkRuntime('24.0.0')
})
