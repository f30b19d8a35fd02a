import fc from 'fast-check'
import { expect, it } from 'vitest'
import { isBlank, LineSplitter, readLine, tooLong } from './ndjson.ts'

/** What a splitter makes of these chunks, as text; null for a line that is too long. */
function linesOf(chunks: readonly Buffer[], maxBytes = 1_000_000): (string | null)[] {
  const splitter = new LineSplitter(maxBytes)
  const texts: (string | null)[] = []
  const take = (lines: ReturnType<LineSplitter['push']>) => {
    for (const line of lines) texts.push(line === tooLong ? null : line.toString())
  }
  for (const chunk of chunks) take(splitter.push(chunk))
  take(splitter.end())
  return texts
}

/** Text with newlines and characters of one to four bytes, and where its bytes are cut into chunks. */
const cutText = fc
  .tuple(
    fc.string({ unit: fc.constantFrom('a', ' ', '\n', 'é', '€', '🙂'), maxLength: 200 }),
    fc.array(fc.nat(800), { maxLength: 12 }),
  )
  .map(([text, cuts]) => {
    const bytes = Buffer.from(text)
    const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].toSorted((a, b) => a - b)
    return { text, chunks: ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end)) }
  })

/** What any splitter should say: the text between newlines, and what follows the last of them unless that is nothing. */
function expected(text: string): string[] {
  const lines = text.split('\n')
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines
}

it('splits into the same lines however the bytes are cut', () => {
  fc.assert(
    fc.property(cutText, ({ text, chunks }) => {
      expect(linesOf(chunks)).toEqual(expected(text))
    }),
  )
})

it('says once of a line that it is too long, and goes on with the next', () => {
  fc.assert(
    fc.property(cutText, fc.integer({ min: 1, max: 20 }), ({ text, chunks }, maxBytes) => {
      const fitting = expected(text).map((line) => (Buffer.byteLength(line) > maxBytes ? null : line))
      expect(linesOf(chunks, maxBytes)).toEqual(fitting)
    }),
  )
})

it('says of a line that it is too long before it has ended', () => {
  const splitter = new LineSplitter(3)
  expect([...splitter.push(Buffer.from('1234'))]).toEqual([tooLong])
  expect([...splitter.push(Buffer.from('5678'))]).toEqual([])
  expect([...splitter.push(Buffer.from('9\n12\n'))].map(String)).toEqual(['12'])
})

it.each(['', ' ', '\t \r'])('takes %j for blank', (text) => {
  expect(isBlank(Buffer.from(text))).toBe(true)
})

it.each(['{}', ' x', '\u00a0', '\0'])('does not take %j for blank', (text) => {
  expect(isBlank(Buffer.from(text))).toBe(false)
})

it('reads a line as it reads a body', () => {
  expect(readLine(Buffer.from('\ufeff {"a":"é"}\r'))).toEqual({ a: 'é' })
  expect(() => readLine(Buffer.from('{"__proto__":1}'))).toThrow(expect.objectContaining({ kind: 'invalid-json' }))
  expect(() => readLine(Buffer.from('{"a":1e400}'))).toThrow(expect.objectContaining({ kind: 'validation-failed' }))
})

it('refuses bytes that are not UTF-8 instead of replacing them', () => {
  expect(() => readLine(Buffer.from('{"a":"é"}', 'latin1'))).toThrow(expect.objectContaining({ kind: 'invalid-json' }))
})

it('refuses what was too long', () => {
  expect(() => readLine(tooLong)).toThrow(expect.objectContaining({ kind: 'too-large' }))
})
