import { expect, it } from 'vitest'
import { lastWords } from './last-words.ts'

const entry = (level: number, msg: string, message?: string) =>
  JSON.stringify({ level, msg, err: message && { message } })

it.each<[string, string, string | undefined]>([
  [
    'a plain line',
    'listen EADDRINUSE: address already in use 127.0.0.1:3000\n',
    'listen EADDRINUSE: address already in use 127.0.0.1:3000',
  ],
  ['the last of two', 'first\nsecond\n', 'second'],
  [
    'the error of a stack trace',
    'file:///a.ts:1\n  bad\n  ^\n\nSyntaxError: Unexpected token\n    at x (a.ts:1)\n\nNode.js v24.1.0\n',
    'SyntaxError: Unexpected token',
  ],
  ['a fatal entry of the logger', entry(60, 'stopping failed', 'no answer'), 'stopping failed: no answer'],
  ['the line before entries that only report', `out of memory\n${entry(30, 'api is up')}\n`, 'out of memory'],
  ['nothing in an empty log', '', undefined],
])('Finds %s', (_what, log, words) => {
  expect(lastWords(log)).toBe(words)
})
