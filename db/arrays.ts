/*
 * Arrays as Postgres writes them, for `${…}::text::uuid[]` and the like: the driver's own encoding escapes every element, which
 * costs more than the statement does (docs/performance.md).
 */

/** @returns the literal of an array whose elements need no quotes: uuids, numbers, bare words; null stands for itself. */
export function plainArray(values: readonly (string | number | null)[]): string {
  return `{${values.map((value) => value ?? 'NULL').join(',')}}`
}

const special = /["\\]/g

/** @returns the literal of an array of any texts. */
export function textArray(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : `"${value.replace(special, '\\$&')}"`)).join(',')}}`
}
