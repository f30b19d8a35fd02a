import { expect, it } from 'vitest'
import { growth } from './record.ts'

it('finds what repositories gained, new ones included, and leaves out those without a change', () => {
  const before = [
    { repository: 'a/old', counted: 5, completed: 2 },
    { repository: 'a/busy', counted: 9, completed: 1 },
  ]
  const after = [
    { repository: 'a/old', counted: 5, completed: 2 },
    { repository: 'a/busy', counted: 12, completed: 4 },
    { repository: 'a/new', counted: 1, completed: 1 },
  ]
  expect(growth(before, after)).toEqual([
    { repository: 'a/busy', counted: 3, completed: 3 },
    { repository: 'a/new', counted: 1, completed: 1 },
  ])
})
