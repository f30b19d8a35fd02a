/** Levels of arrays and objects in one body. */
export const maxDepth = 64
/** Members of objects in one body, all levels together. */
export const maxMembers = 100_000
/** Values in one body, those within others counted too: more than vectors of floats need in the largest body. */
export const maxValues = 2_000_000

const quote = 0x22
const colon = 0x3a
const comma = 0x2c
const backslash = 0x5c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/** What a text holds if it is JSON; counting stops above {@link maxDepth}, {@link maxMembers} and {@link maxValues}. */
export interface JsonShape {
  readonly depth: number
  /** Members of objects as they are written: a key that stands twice counts twice. */
  readonly members: number
  /** Objects, arrays, and commas: no fewer than all values but the outermost, and no more than twice as many. */
  readonly values: number
}

/** Measures a text in one pass, without reading it as JSON: whether it is any shows later. */
export function scanJson(text: string): JsonShape {
  let level = 0
  let depth = 0
  let members = 0
  let values = 0
  for (let at = 0; at < text.length && depth <= maxDepth && members <= maxMembers && values <= maxValues; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) at = endOfString(text, at)
    else if (code === colon) members++
    else if (code === comma) values++
    else if (code === openBrace || code === openBracket) {
      values++
      depth = Math.max(depth, ++level)
    } else if (code === closeBrace || code === closeBracket) level--
  }
  return { depth, members, values }
}

/** @returns the members of a value's objects, all levels together. */
export function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let members = 0
  if (Array.isArray(value)) for (const item of value) members += countMembers(item)
  else for (const key in value) members += 1 + countMembers((value as Record<string, unknown>)[key])
  return members
}

/** @returns the first key that stands twice in one object of a text that is JSON. */
export function findDoubleKey(text: string): string | undefined {
  const objects: Set<string>[] = []
  let last = ''
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === openBrace) objects.push(new Set())
    else if (code === closeBrace) objects.pop()
    else if (code === quote) {
      const end = endOfString(text, at)
      last = text.slice(at, end + 1)
      at = end
    } else if (code === colon) {
      const key = JSON.parse(last) as string
      const keys = objects.at(-1)
      if (keys?.has(key)) return key
      keys?.add(key)
    }
  }
  return undefined
}

/** @returns where the string ends that begins with the quote at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let first = end
    while (text.charCodeAt(first - 1) === backslash) first--
    if ((end - first) % 2 === 0) return end
  }
  return text.length
}
