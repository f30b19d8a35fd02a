import { hash, timingSafeEqual } from 'node:crypto'

/** @returns a test of a key that somebody shows, in constant time. */
export function keyMatcher(key: string): (shown: string) => boolean {
  const expected = hash('sha256', key, 'buffer')
  return (shown) => timingSafeEqual(hash('sha256', shown, 'buffer'), expected)
}
