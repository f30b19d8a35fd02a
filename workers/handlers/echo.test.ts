import { handlerContext } from '@jobyard/testing/handler-context'
import { expect, it } from 'vitest'
import { echo } from './echo.ts'

it('echo gives its value back', async () => {
  const value = { deep: [null, 1e300, 'ü'] }
  expect(await echo.run({ value }, handlerContext())).toEqual({ value })
})

it('echo fails as many attempts as it is asked to', async () => {
  const input = { value: 1, failTimes: 2 }
  await expect(echo.run(input, handlerContext({ attempt: 1 }))).rejects.toThrow('Attempt 1')
  await expect(echo.run(input, handlerContext({ attempt: 2 }))).rejects.toThrow('Attempt 2')
  expect(await echo.run(input, handlerContext({ attempt: 3 }))).toEqual({ value: 1 })
})

it('echo sleeps, and stops sleeping when its signal fires', async () => {
  const startedAt = performance.now()
  await echo.run({ value: 1, sleepMs: 20 }, handlerContext())
  expect(performance.now() - startedAt).toBeGreaterThan(18)
  const stop = new AbortController()
  const attempt = echo.run({ value: 1, sleepMs: 3_600_000 }, handlerContext({ signal: stop.signal }))
  stop.abort(new Error('cancelled'))
  await expect(attempt).rejects.toThrow('aborted')
})
