import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Circuit } from './circuit.ts'

let probes: PromiseWithResolvers<void>[]
let changes: boolean[]
let circuit: Circuit
beforeEach(() => {
  vi.useFakeTimers()
  probes = []
  changes = []
  circuit = new Circuit({
    probe: () => {
      const probe = Promise.withResolvers<void>()
      probes.push(probe)
      return probe.promise
    },
    everyMs: 100,
  })
  circuit.onChange((open) => changes.push(open))
})
afterEach(() => {
  vi.useRealTimers()
})
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)

it('A circuit that was opened probes at once, and is closed by the first answer', async () => {
  circuit.open()
  circuit.open()
  expect(circuit.isOpen).toBe(true)
  await pass(250)
  expect(probes).toHaveLength(3)
  probes[1]?.resolve()
  await pass(1_000)
  expect(circuit.isOpen).toBe(false)
  expect(probes).toHaveLength(3)
  expect(changes).toEqual([true, false])
})

it('A doubt opens nothing when it is dispelled', async () => {
  circuit.doubt()
  expect(circuit.isOpen).toBe(false)
  probes[0]?.resolve()
  await pass(1_000)
  expect(changes).toEqual([])
  circuit.doubt()
  expect(probes).toHaveLength(2)
})

it('A doubt opens the circuit when a probe is not answered, or fails', async () => {
  circuit.doubt()
  await pass(100)
  expect(circuit.isOpen).toBe(true)
  probes[0]?.resolve()
  await pass(0)
  expect(circuit.isOpen).toBe(false)
  circuit.doubt()
  probes.at(-1)?.reject(new Error('refused'))
  await pass(0)
  expect(circuit.isOpen).toBe(true)
})

it('A silence of any length costs eight probes', async () => {
  circuit.open()
  await pass(10_000)
  expect(probes).toHaveLength(8)
  probes[0]?.reject(new Error('given up'))
  await pass(100)
  expect(probes).toHaveLength(9)
})

it('Probes no more when it is stopped', async () => {
  circuit.open()
  circuit.stop()
  await pass(1_000)
  expect(probes).toHaveLength(1)
})
