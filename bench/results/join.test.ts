import { expect, it } from 'vitest'
import type { PartSection } from '../bench.ts'
import { joinResults } from './join.ts'
import type { Results } from './results.ts'

const order = ['finished', 'waiting', 'idle']

function section(part: string, title: string): PartSection {
  return { part, title, method: '', unit: 'ms', better: 'lower', baseline: '', rows: [] }
}

function results(commit: string, ...sections: PartSection[]): Results {
  return { commit, date: '2026-11-21', machine: {}, sections }
}

const titles = ({ sections }: Results) => sections.map(({ title }) => title)

it('keeps the sections of other parts of the same commit, in the usual order', () => {
  const earlier = results('abc123', section('finished', 'a'), section('finished', 'b'), section('idle', 'd'))
  expect(titles(joinResults(earlier, results('abc123', section('waiting', 'c')), order))).toEqual(['a', 'b', 'c', 'd'])
})

it('replaces all sections of a part that ran again', () => {
  const earlier = results('abc123', section('finished', 'a'), section('finished', 'b'), section('idle', 'd'))
  expect(titles(joinResults(earlier, results('abc123', section('finished', 'new')), order))).toEqual(['new', 'd'])
})

it.each([
  ['abc123', 'def456'],
  ['abc123-dirty', 'abc123-dirty'],
  ['unknown', 'unknown'],
])('keeps nothing where the code may have changed: from %s to %s', (before, after) => {
  const found = results(after, section('waiting', 'c'))
  expect(joinResults(results(before, section('idle', 'd')), found, order)).toBe(found)
})

it('is what was found when there was nothing before', () => {
  const found = results('abc123', section('idle', 'd'))
  expect(joinResults(undefined, found, order)).toBe(found)
})
