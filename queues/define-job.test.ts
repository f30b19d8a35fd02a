import { expect, it } from 'vitest'
import { z } from 'zod'
import { createCatalogue } from './catalogue.ts'
import { defaultRetryPolicy, defineJob } from './define-job.ts'

const shapes = { description: 'test', input: z.unknown(), output: z.unknown() }

it('fills in the default policy', () => {
  expect(defineJob({ type: 'a.b', ...shapes })).toMatchObject({
    queue: 'default',
    timeoutMs: 60_000,
    internal: false,
    retry: defaultRetryPolicy,
  })
  expect(defineJob({ type: 'a', ...shapes, retry: { maxAttempts: 1 } }).retry).toEqual({
    ...defaultRetryPolicy,
    maxAttempts: 1,
  })
})

it.each(['', 'A', 'a b', 'a..b', '.a', 'a:b', '1a'])('refuses the type "%s"', (type) => {
  expect(() => defineJob({ type, ...shapes })).toThrow(TypeError)
})

it.each(['', 'A', 'a:b', '-a', 'a'.repeat(64)])('refuses the queue "%s"', (queue) => {
  expect(() => defineJob({ type: 'a', queue, ...shapes })).toThrow(TypeError)
})

it('makes a catalogue of contracts, each type once', () => {
  const [one, two] = [defineJob({ type: 'one', ...shapes }), defineJob({ type: 'two', ...shapes, internal: true })]
  const catalogue = createCatalogue([one, two])
  expect(catalogue.get('one')).toBe(one)
  expect(catalogue.get('three')).toBeUndefined()
  expect(catalogue.types).toEqual(['one'])
  expect(catalogue.queues).toEqual(['default'])
  expect(() => createCatalogue([one, one, defineJob({ type: 'one', ...shapes })])).toThrow('Two contracts')
})

it('fills in the policy of a batched type; an ordinary one has none', () => {
  expect(defineJob({ type: 'a', ...shapes }).batch).toBeUndefined()
  expect(defineJob({ type: 'a', ...shapes, batch: { size: 100 } }).batch).toEqual({ size: 100, maxWaitMs: 0 })
  expect(defineJob({ type: 'a', ...shapes, batch: { size: 1_000, maxWaitMs: 1_000 } }).batch).toEqual({
    size: 1_000,
    maxWaitMs: 1_000,
  })
})

it.each([
  [{ size: 0 }, 'batch.size of a must be a whole number from 1 to 1000, and is 0'],
  [{ size: 1_001 }, 'batch.size'],
  [{ size: 1.5 }, 'batch.size'],
  [{ size: Number.NaN }, 'batch.size'],
  [{ size: 1, maxWaitMs: -1 }, 'batch.maxWaitMs'],
  [{ size: 1, maxWaitMs: 1_001 }, 'batch.maxWaitMs of a must be a whole number from 0 to 1000, and is 1001'],
])('refuses the batch %j', (batch, message) => {
  expect(() => defineJob({ type: 'a', ...shapes, batch })).toThrow(message)
})
