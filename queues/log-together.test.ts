import { afterEach, expect, it, vi } from 'vitest'
import { logLostTickets } from './log-together.ts'

afterEach(() => void vi.useRealTimers())

it('Lost tickets are logged at once, and those that follow together', () => {
  vi.useFakeTimers()
  const warn = vi.fn<(details: { tickets: number }) => void>()
  const onLost = logLostTickets({ warn })
  const counts = () => warn.mock.calls.map(([{ tickets }]) => tickets)
  onLost(new Error('refused'), 3)
  expect(counts()).toEqual([3])
  for (const tickets of [1, 2, 4]) onLost(new Error('refused'), tickets)
  expect(counts()).toEqual([3])
  vi.advanceTimersByTime(5_000)
  expect(counts()).toEqual([3, 7])
  vi.advanceTimersByTime(5_000)
  onLost(new Error('refused'), 1)
  expect(counts()).toEqual([3, 7, 1])
})
