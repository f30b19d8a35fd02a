import type { ClaimedJob } from '@jobyard/db/claim'
import { newId } from '@jobyard/db/ids'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Run } from './ownership.ts'
import { StuckHandlers } from './stuck-handlers.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const run = (queue: string) => new Run({ id: newId(), type: `${queue}.type`, queue } as ClaimedJob, newId())

/** Watches handlers that the test begins and ends. */
function watch(slots: number) {
  const executing = new Set<readonly Run[]>()
  const lines: string[] = []
  const half: string[] = []
  const log = pino({ level: 'error' }, { write: (line) => void lines.push(line) })
  const stuck = new StuckHandlers({ attempts: { executing }, slots, onHalf: (queue) => half.push(queue), log })
  return { executing, lines, half, look: () => Object.fromEntries(stuck.runOnce()) }
}

it('Handlers that go on for long after their signal has aborted are counted, and each type is told of once', () => {
  const { executing, lines, half, look } = watch(10)
  const [slow, stuck, again] = [[run('a')], [run('a')], [run('a')]]
  for (const group of [slow, stuck, again]) executing.add(group)
  for (const group of [stuck, again]) group[0]!.abort('timed_out')
  expect(look()).toEqual({})
  vi.advanceTimersByTime(29_000)
  expect(look()).toEqual({})
  vi.advanceTimersByTime(1_000)
  expect(look()).toEqual({ a: 2 })
  expect(look()).toEqual({ a: 2 })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('a.type')
  executing.delete(stuck)
  executing.delete(again)
  expect(look()).toEqual({})
  expect(half).toEqual([])
})

it('A batch counts with all its jobs, once none of them is wanted', () => {
  const { executing, half, look } = watch(6)
  const batch = [run('b'), run('b'), run('b')]
  executing.add(batch)
  batch[0]?.abort('timed_out')
  batch[1]?.abort('cancelled')
  look()
  vi.advanceTimersByTime(60_000)
  expect(look()).toEqual({})
  batch[2]?.abort('lost')
  look()
  vi.advanceTimersByTime(60_000)
  expect(look()).toEqual({ b: 3 })
  expect(half).toEqual(['b'])
})

it('It is told when half of the slots of one queue are held', () => {
  const { executing, half, look } = watch(4)
  for (const queue of ['a', 'b', 'b']) {
    const group = [run(queue)]
    executing.add(group)
    group[0]?.abort('timed_out')
  }
  look()
  vi.advanceTimersByTime(30_000)
  expect(look()).toEqual({ a: 1, b: 2 })
  expect(half).toEqual(['b'])
})
