import { v7, validate, version } from 'uuid'

/** @returns a fresh UUIDv7: unique, and sorting by time of making. */
export const newId = (): string => v7()

/** @returns whether `id` is a UUIDv7 as {@link newId} makes them; nothing else can name a row. */
export function isId(id: string): boolean {
  return validate(id) && version(id) === 7 && id === id.toLowerCase()
}
