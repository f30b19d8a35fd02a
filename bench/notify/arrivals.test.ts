import { expect, it } from 'vitest'
import { ArrivalLog } from './arrivals.ts'

it('keeps the first moment of each, and starts anew when it is taken', () => {
  const log = new ArrivalLog()
  log.note('a')
  const first = new Map(log.take())
  log.note('a')
  log.note('b')
  log.note('a')
  const second = log.take()
  expect([...first.keys()]).toEqual(['a'])
  expect([...second.keys()]).toEqual(['a', 'b'])
  expect(second.get('a')).toBeLessThanOrEqual(second.get('b') ?? 0)
  expect(log.count).toBe(0)
})

it('waits until so many different ones have come', async () => {
  const log = new ArrivalLog()
  const waiting = log.wait(2, 60_000)
  for (const id of ['a', 'a', 'b']) log.note(id)
  expect(await waiting).toBe(2)
  expect(await log.wait(1, 60_000)).toBe(2)
})

it('waits no longer than it is told', async () => {
  const log = new ArrivalLog()
  log.note('a')
  expect(await log.wait(2, 1)).toBe(1)
})
