import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { mutations } from './mutations.ts'
import { invariants } from './sequences/invariants.ts'
import { judgements } from './sequences/world.ts'

const sourceOf = (file: string) => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')

it.each(mutations)('can be made: $name', ({ file, find, replace }) => {
  expect(sourceOf(file).split(find)).toHaveLength(2)
  expect(replace).not.toBe(find)
})

it('breaks every invariant of the sequences', () => {
  const broken = new Set(mutations.filter(({ row }) => row === undefined).map(({ invariant }) => invariant))
  expect(broken).toEqual(new Set([...invariants.map(({ name }) => name), ...Object.values(judgements)]))
})
