import { openCarrier } from '@jobyard/queues/carrier'
import { createDatabase } from '@jobyard/testing/postgres'
import { expect, inject, it, onTestFinished } from 'vitest'
import { labelOfStatement } from './labels.ts'
import { startPostgresWire } from './postgres-wire.ts'

it('A connection of the carrier that is lost while BullMQ makes itself ready ends no process', async () => {
  const database = await createDatabase(inject('postgresAdminUrl'))
  let faults = 1
  const wire = await startPostgresWire(database.url, (text) =>
    labelOfStatement(text) === 'check-schema' && faults-- > 0
      ? { kind: 'connection lost before', error: '', wait: async () => {}, done: () => {} }
      : undefined,
  )
  const told: Error[] = []
  const carrier = openCarrier({ databaseUrl: wire.url, onError: (error) => told.push(error) })
  onTestFinished(async () => {
    await carrier.close()
    wire.close()
    await database.drop()
  })
  await expect(carrier.isPaused('default')).rejects.toThrow('Connection terminated unexpectedly')
  expect(told.length).toBeGreaterThan(0)
  expect(await carrier.isPaused('default')).toBe(false)
})
