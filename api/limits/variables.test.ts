import { expect, it } from 'vitest'
import { readConfig } from '../config.ts'

const needed = {
  DATABASE_URL: 'postgres://localhost/test',
  JOBYARD_SECRET: 'x'.repeat(32),
  JOBYARD_ADMIN_KEY: 'x'.repeat(32),
}

it('limits nothing unless it is told to', () => {
  const config = readConfig(needed)
  expect([config.RATE_LIMIT_TENANT, config.RATE_LIMIT_KEY]).toEqual([undefined, undefined])
  expect([config.TENANT_MAX_WAITING_JOBS, config.TENANT_MAX_WAITING_BYTES]).toEqual([undefined, undefined])
})

it('reads rates and amounts', () => {
  const limits = {
    RATE_LIMIT_TENANT: '500/s burst 2000',
    RATE_LIMIT_KEY: '600/min',
    TENANT_MAX_WAITING_JOBS: '1000000',
    TENANT_MAX_WAITING_BYTES: '5000000000',
  }
  expect(readConfig({ ...needed, ...limits })).toMatchObject({
    RATE_LIMIT_TENANT: { perMs: 0.5, burst: 2_000 },
    RATE_LIMIT_KEY: { perMs: 0.01, burst: 600 },
    TENANT_MAX_WAITING_JOBS: 1_000_000,
    TENANT_MAX_WAITING_BYTES: 5_000_000_000,
  })
})

it('names every bad one in one line', () => {
  const bad = {
    RATE_LIMIT_TENANT: '500',
    RATE_LIMIT_KEY: '0/s',
    TENANT_MAX_WAITING_JOBS: '1000001',
    TENANT_MAX_WAITING_BYTES: '-1',
  }
  const form = 'must look like 500/s, 10000/min or 500/s burst 2000'
  expect(() => readConfig({ ...needed, ...bad })).toThrow(
    new RegExp(
      `^Bad configuration: RATE_LIMIT_TENANT ${form}[^;]*; RATE_LIMIT_KEY ${form}[^;]*; TENANT_MAX_WAITING_JOBS [^;]*1000000; TENANT_MAX_WAITING_BYTES [^;]*1$`,
    ),
  )
})
