import { randomFillSync } from 'node:crypto'
import { v7, validate, version } from 'uuid'

const randomBytesPerId = 16
const random = Buffer.alloc(256 * randomBytesPerId)
let used = random.length
let lastMs = 0
let sequence = 0

/** @returns a fresh UUIDv7: unique, and sorting by the order in which this process made them. */
export function newId(): string {
  const now = Date.now()
  const bytes = nextRandom()
  sequence = now > lastMs ? bytes.readUIntBE(6, 3) : sequence + 1
  lastMs = Math.max(now, lastMs)
  return v7({ msecs: lastMs, seq: sequence, random: bytes })
}

/** @returns the lowest UUIDv7 of a moment, in milliseconds since 1970. */
export function firstIdAt(ms: number): string {
  return v7({ msecs: Math.max(ms, 0), seq: 0, random: new Uint8Array(randomBytesPerId) })
}

/** Random bytes are drawn for many ids at once: a draw costs more than an id. */
function nextRandom(): Buffer {
  if (used === random.length) {
    randomFillSync(random)
    used = 0
  }
  used += randomBytesPerId
  return random.subarray(used - randomBytesPerId, used)
}

/** @returns whether `id` is a UUIDv7 as {@link newId} makes them; nothing else can name a row. */
export function isId(id: string): boolean {
  return validate(id) && version(id) === 7 && id === id.toLowerCase()
}
