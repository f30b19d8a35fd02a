import { defineJob } from '@jobyard/queues/define-job'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { batchContext, batchOf } from '../testing/handler-context.ts'
import { defineBatchHandler } from './define-handler.ts'

const shapes = { description: 'for tests', input: z.number(), output: z.number() }

it('A handler of batches is called with all jobs at once', async () => {
  const contract = defineJob({ type: 'batched', ...shapes, batch: { size: 2 } })
  const handler = defineBatchHandler(contract, async (jobs) => jobs.map(({ input, attempt }) => input + attempt))
  expect(await handler.runBatch(batchOf([1, 2]), batchContext())).toEqual([2, 3])
})

it('A handler of batches needs a contract that says batch', () => {
  const contract = defineJob({ type: 'ordinary', ...shapes })
  expect(() => defineBatchHandler(contract, async () => [])).toThrow(
    new TypeError('ordinary has a handler of batches, so its contract must say batch'),
  )
})
