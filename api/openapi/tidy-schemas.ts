import type { Document } from './document.ts'

const prefix = '#/components/schemas/'
const reference = /"#\/components\/schemas\/(\w+)"/g

/**
 * Leaves the schemas that are referred to. Of each there may be two, for what comes in and what goes out; where only the former is
 * used it has the plain name.
 */
export function tidySchemas(document: Document): Document {
  const schemas = document.components.schemas ?? {}
  const used = referredTo(document.paths, schemas).union(referredTo(document.components.responses, schemas))
  const plain = (name: string) => {
    const base = name.replace(/Input$/, '')
    return used.has(base) ? name : base
  }
  const kept = Object.entries(schemas).filter(([name]) => used.has(name))
  const tidied = {
    ...document,
    components: {
      ...document.components,
      schemas: Object.fromEntries(kept.map(([name, schema]) => [plain(name), schema])),
    },
  }
  return JSON.parse(JSON.stringify(tidied), (key, value: unknown) => {
    if (key === '$ref' && typeof value === 'string' && value.startsWith(prefix))
      return prefix + plain(value.slice(prefix.length))
    return isBoundOfIntegers(key, value) ? undefined : value
  }) as Document
}

function referredTo(part: unknown, schemas: Record<string, unknown>, found = new Set<string>()): Set<string> {
  for (const [, name = ''] of JSON.stringify(part).matchAll(reference)) {
    if (found.has(name)) continue
    found.add(name)
    referredTo(schemas[name], schemas, found)
  }
  return found
}

/** JavaScript's bounds of integers say nothing of the platform's. */
function isBoundOfIntegers(key: string, value: unknown): boolean {
  return (key === 'minimum' || key === 'maximum') && Math.abs(value as number) === Number.MAX_SAFE_INTEGER
}
