import type { Schema } from '@jobyard/api/openapi/document'
import fc, { type Arbitrary } from 'fast-check'

/** What a schema cannot say: values of a property that get past the first check. */
export type Hints = Readonly<Record<string, Arbitrary<unknown>>>

/** Keywords that are looked at; zod writes no others that matter here. */
interface Keywords {
  $ref?: string
  const?: unknown
  enum?: unknown[]
  anyOf?: Schema[]
  type?: string | string[]
  format?: string
  pattern?: string
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
}

/** Makes values that fit JSON schemas, near their bounds more often than chance would. */
export class Values {
  readonly #schemas: Record<string, unknown>
  readonly #hints: Hints

  constructor(schemas: Record<string, unknown>, hints: Hints) {
    this.#schemas = schemas
    this.#hints = hints
  }

  of(schema: Schema): Arbitrary<unknown> {
    const keywords = schema as Keywords
    if (keywords.$ref) return this.of(this.#schemas[keywords.$ref.split('/').at(-1) ?? ''] as Schema)
    if ('const' in keywords) return fc.constant(keywords.const)
    if (keywords.enum) return fc.constantFrom(...keywords.enum)
    if (keywords.anyOf) return fc.oneof(...keywords.anyOf.map((each) => this.of(each)))
    return fc.oneof(...[keywords.type ?? 'any'].flat().map((type) => this.#ofType(type, keywords)))
  }

  #ofType(type: string, keywords: Keywords): Arbitrary<unknown> {
    switch (type) {
      case 'integer':
        return integers(keywords)
      case 'number':
        return fc.oneof(integers(keywords), fc.double({ noNaN: true, noDefaultInfinity: true }))
      case 'string':
        return strings(keywords)
      case 'boolean':
        return fc.boolean()
      case 'null':
        return fc.constant(null)
      case 'array':
        return this.#arrays(keywords)
      case 'object':
        return this.#objects(keywords)
      default:
        return fc.jsonValue({ maxDepth: 3 })
    }
  }

  #arrays({ items = {}, minItems = 0, maxItems = 30 }: Keywords): Arbitrary<unknown> {
    const item = this.of(items)
    const few = fc.array(item, { minLength: minItems, maxLength: Math.min(maxItems, minItems + 3) })
    return maxItems > 60
      ? few
      : fc.oneof(
          { weight: 9, arbitrary: few },
          { weight: 1, arbitrary: fc.array(item, { minLength: maxItems, maxLength: maxItems }) },
        )
  }

  #objects({ properties = {}, required = [], additionalProperties = false }: Keywords): Arbitrary<unknown> {
    const fields = Object.entries(properties).map(
      ([name, schema]) => [name, this.#hints[name] ?? this.of(schema)] as const,
    )
    const record = fc.record(Object.fromEntries(fields), { requiredKeys: required })
    if (fields.length > 0 || typeof additionalProperties === 'boolean') return record
    return fc.dictionary(fc.string({ maxLength: 20 }), this.of(additionalProperties), { maxKeys: 4 })
  }
}

function integers({ minimum = -1_000, maximum = 1_000_000 }: Keywords): Arbitrary<number> {
  return fc.oneof(
    fc.constantFrom(minimum, maximum),
    fc.integer({ min: Math.max(minimum, -(2 ** 31)), max: Math.min(maximum, 2 ** 31 - 1) }),
  )
}

const soon = { min: new Date('2020-01-01'), max: new Date('2040-01-01'), noInvalidDate: true }

function strings({ format, pattern, minLength = 0, maxLength = 40 }: Keywords): Arbitrary<string> {
  if (format === 'date-time') return fc.date(soon).map((date) => date.toISOString())
  if (pattern) return fc.stringMatching(new RegExp(pattern))
  const plain = fc.string({ minLength, maxLength: Math.min(maxLength, minLength + 30) })
  const longest = fc.constant('x'.repeat(maxLength))
  return fc.oneof(
    { weight: 8, arbitrary: plain },
    { weight: 1, arbitrary: longest },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength, maxLength: Math.min(maxLength, minLength + 10) }) },
  )
}
