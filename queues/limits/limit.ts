/** How much may be taken from a bucket of tokens: it fills at a steady rate, and holds so many when it is full. */
export interface Limit {
  /** Tokens that come back, per millisecond. */
  readonly perMs: number
  /** Tokens that a full bucket holds: what can be taken at once. */
  readonly burst: number
}

const unitMs = { s: 1_000, min: 60_000, h: 3_600_000 }
/** Largest number that a limit may name. */
const greatest = 1_000_000_000

/** What a bad limit is refused with. */
export const limitForm =
  'must look like 500/s, 10000/min or 500/s burst 2000: whole numbers from 1 to 1000000000, and s, min or h'

/**
 * Reads a limit such as `500/s`, `10000/min` or `500/s burst 2000`. Without a burst it is the number before the slash. Pure.
 *
 * @returns undefined when it has another form.
 */
export function parseLimit(text: string): Limit | undefined {
  const [, count, unit, burst = count] = /^(\d{1,10})\/(s|min|h)(?: burst (\d{1,10}))?$/.exec(text) ?? []
  const numbers = [Number(count), Number(burst)]
  const [perUnit = 0, atOnce = 0] = numbers
  if (!numbers.every((number) => number >= 1 && number <= greatest)) return undefined
  return { perMs: perUnit / unitMs[unit as keyof typeof unitMs], burst: atOnce }
}
