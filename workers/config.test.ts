import { expect, it } from 'vitest'
import { readConfig } from './config.ts'

const DATABASE_URL = 'postgres://localhost/jobyard'
const queues = ['default', 'http']

it('has a default for everything but the database', () => {
  expect(readConfig({ DATABASE_URL }, queues)).toMatchObject({
    WORKER_CONCURRENCY: 50,
    SHUTDOWN_GRACE_MS: 25_000,
    OUTBOUND_ALLOW: '',
  })
  expect(() => readConfig({}, queues)).toThrow('DATABASE_URL is not set')
})

it('takes the names of known queues only', () => {
  expect(readConfig({ DATABASE_URL, WORKER_QUEUES: 'default, http' }, queues).WORKER_QUEUES).toEqual([
    'default',
    'http',
  ])
  expect(() => readConfig({ DATABASE_URL, WORKER_QUEUES: 'defualt' }, queues)).toThrow(
    'WORKER_QUEUES may name only default, http',
  )
})
