import Fastify from 'fastify'
import { expect, it } from 'vitest'
import { healthRoutes, type HealthOptions } from './health.ts'

const refuse = async () => Promise.reject(new Error('refused'))
const well = { postgres: async () => [], isOpen: false, ping: async () => {}, healthy: true, accepting: true }

/** What the API says of itself when its parts are as they are said to be. */
async function readiness(parts: Partial<typeof well | { postgres: typeof refuse; ping: typeof refuse }>) {
  const { postgres, isOpen, ping, healthy, accepting } = { ...well, ...parts }
  const app = Fastify()
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  await app.register(healthRoutes, {
    sql: postgres,
    circuit: { isOpen },
    carrier: { ping },
    tickets: { healthy },
    accepting: () => accepting,
  } as unknown as HealthOptions)
  const answer = await app.inject('/readyz')
  await app.close()
  return { code: answer.statusCode, ...answer.json() }
}

it.each([
  ['ready', {}, 200],
  ['degraded', { ping: refuse }, 200],
  ['degraded', { healthy: false }, 200],
  ['unavailable', { postgres: refuse }, 503],
  ['unavailable', { isOpen: true }, 503],
  ['unavailable', { isOpen: true, healthy: false }, 503],
  ['draining', { accepting: false }, 503],
])('Is %s when its parts are %o', async (status, parts, code) => {
  expect(await readiness(parts)).toMatchObject({ status, code })
})

it('Tells which part is down', async () => {
  expect(await readiness({ healthy: false })).toMatchObject({ postgres: 'up', carrier: 'down' })
  expect(await readiness({ postgres: refuse })).toMatchObject({ postgres: 'down', carrier: 'up' })
})
