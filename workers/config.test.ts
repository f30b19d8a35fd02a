import { expect, it } from 'vitest'
import { readConfig } from './config.ts'

const DATABASE_URL = 'postgres://localhost/jobyard'
const JOBYARD_SECRET = 'a secret of tests, with 32 letters'
const servers = { DATABASE_URL, JOBYARD_SECRET }
const queues = ['default', 'http']

it('has a default for everything but the database and the secret', () => {
  expect(readConfig(servers, queues)).toMatchObject({
    WORKER_CONCURRENCY: 50,
    WORKER_DUTY: 'ordinary',
    SHUTDOWN_GRACE_MS: 25_000,
    OUTBOUND_ALLOW: '',
  })
  expect(() => readConfig({}, queues)).toThrow('DATABASE_URL is not set')
  expect(() => readConfig({ DATABASE_URL }, queues)).toThrow('JOBYARD_SECRET is not set')
})

it('takes the names of known queues only', () => {
  expect(readConfig({ ...servers, WORKER_QUEUES: 'default, http' }, queues).WORKER_QUEUES).toEqual(['default', 'http'])
  expect(() => readConfig({ ...servers, WORKER_QUEUES: 'defualt' }, queues)).toThrow(
    'WORKER_QUEUES may name only default, http',
  )
})

it('takes the URL of a proxy that ends with its port', () => {
  const proxy = 'http://user:password@proxy:3128'
  expect(readConfig({ ...servers, OUTBOUND_PROXY: proxy }, queues).OUTBOUND_PROXY).toBe(proxy)
  expect(() => readConfig({ ...servers, OUTBOUND_PROXY: 'proxy:3128' }, queues)).toThrow(
    'OUTBOUND_PROXY must look like',
  )
})

it('takes a duty that exists', () => {
  expect(readConfig({ ...servers, WORKER_DUTY: 'suspects' }, queues).WORKER_DUTY).toBe('suspects')
  expect(() => readConfig({ ...servers, WORKER_DUTY: 'night shift' }, queues)).toThrow('WORKER_DUTY')
})
