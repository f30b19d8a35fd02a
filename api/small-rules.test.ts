import { newId } from '@jobyard/db/ids'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Cursors } from './cursor.ts'
import { preferredWaitMs } from './prefer.ts'

describe('A cursor', () => {
  const cursors = new Cursors('secret')

  it('opens to what it was made of', () => {
    const id = newId()
    expect(cursors.open(cursors.seal(id))).toBe(id)
  })

  it('does not open when it was tampered with, or made with another secret', () => {
    const sealed = cursors.seal(newId())
    expect(() => cursors.open(new Cursors('other').seal(newId()))).toThrow('nextCursor')
    fc.assert(
      fc.property(fc.nat(sealed.length - 2), fc.base64String({ minLength: 1, maxLength: 4 }), (at, text) => {
        const tampered = sealed.slice(0, at) + text + sealed.slice(at + 1)
        fc.pre(!Buffer.from(tampered, 'base64url').equals(Buffer.from(sealed, 'base64url')))
        expect(() => cursors.open(tampered)).toThrow('nextCursor')
      }),
    )
    expect(() => cursors.open('')).toThrow('nextCursor')
  })
})

it.each<[string | string[] | undefined, number]>([
  [undefined, 0],
  ['wait=20', 20_000],
  ['respond-async, wait=5', 5_000],
  [['respond-async', 'wait="3"; x=1'], 3_000],
  ['wait=0', 0],
  ['wait=61', 60_000],
  ['wait=1000000000', 60_000],
  ['wait=abc', 0],
  ['wait=-1', 0],
  ['wait=1.5', 0],
  ['await=5', 0],
])('Prefer: %s is a wait of %i ms', (header, waitMs) => {
  expect(preferredWaitMs(header)).toBe(waitMs)
})
