import { expect, it } from 'vitest'
import { readEvents } from './follower.ts'

const text =
  'retry: 1000\nid: 7\n\nid: 8\nevent: job.completed\ndata: {"a":1}\n\n: still here\nid: 8\n\nid: 10-2\nevent: reset\ndata: {}\n\n'

it.each([1, 2, 7, text.length])('reads events from pieces of %d characters, and nothing else', (size) => {
  const events: [number, string][] = []
  let rest = ''
  for (let at = 0; at < text.length; at += size)
    rest = readEvents(rest + text.slice(at, at + size), (position, data) => events.push([position, data]))
  expect(events).toEqual([
    [8, '{"a":1}'],
    [10, '{}'],
  ])
  expect(rest).toBe('')
})
