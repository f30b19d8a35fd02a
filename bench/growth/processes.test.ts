import { expect, it } from 'vitest'
import { parseSize, parseStat, readCpu, readMemoryOfFamily, readResident } from './processes.ts'

const stat = '4711 (odd) name 1 2) S 42 4711 4711 0 -1 4194560 9 9 0 0 150 50 1000 500 20 0 1 0 123 456 789'

it('tells parent and CPU time, whatever the program is called', () => {
  expect(parseStat(stat)).toEqual({ parent: 42, cpu: 2, cpuOfEnded: 15 })
})

it('refuses what is no status', () => {
  expect(() => parseStat('nothing')).toThrow('tells nothing about a process')
})

it('tells sizes in bytes, of the line that is asked for', () => {
  expect(parseSize('Rss:      12 kB\nPss:       3 kB\nPss_Dirty: 1 kB\n', 'Pss')).toBe(3_072)
  expect(() => parseSize('Rss:      12 kB\n', 'Pss')).toThrow('There is no Pss')
})

it.runIf(process.platform === 'linux')('tells about this very process', async () => {
  expect(await readCpu(process.pid)).toBeGreaterThan(0)
  expect(await readResident(process.pid)).toBeGreaterThan(10_000_000)
  expect((await readMemoryOfFamily(process.pid)).bytes).toBeGreaterThan(10_000_000)
})
