import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Nudge } from './nudge.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('sends the first nudge at once, and one for all that follow', () => {
  const sent: number[] = []
  const nudge = new Nudge(() => void sent.push(Date.now()), 50)
  const startedAt = Date.now()
  for (let ms = 0; ms < 100; ms += 10) {
    nudge.give()
    vi.advanceTimersByTime(10)
  }
  vi.advanceTimersByTime(1_000)
  expect(sent.map((at) => at - startedAt)).toEqual([0, 50, 100])
})

it('forgets what fails, and what was to come when it is stopped', () => {
  let sent = 0
  const nudge = new Nudge(() => {
    sent++
    throw new Error('no')
  })
  nudge.give()
  nudge.give()
  nudge.stop()
  vi.advanceTimersByTime(1_000)
  expect(sent).toBe(1)
})
