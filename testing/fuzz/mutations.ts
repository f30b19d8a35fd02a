import fc, { type Arbitrary } from 'fast-check'

const half = '\ud800'
const oddNumbers = [0, -0, -1, 1.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308, 5e-324]
const oddTexts = [
  '',
  ' ',
  '\0',
  half,
  '5',
  'null',
  '__proto__',
  'x'.repeat(300),
  'x'.repeat(70_000),
  '\u202e',
  '../../etc/passwd',
  "';--",
]
const oddMoments = [
  '2026-13-45',
  '+275761-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999999999Z',
  '0000-01-01T00:00:00Z',
  '1969-12-31T23:59:59+23:59',
]
const oddContainers = [null, true, false, [], [[]], {}, { $ne: 1 }]

/** Values that programs stumble over. */
const odd: Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(...oddNumbers, ...oddTexts, ...oddMoments, ...oddContainers),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.jsonValue(),
)

const steps = fc.record({
  at: fc.array(fc.nat(), { maxLength: 4 }),
  what: fc.constantFrom('replace', 'replace', 'replace', 'drop', 'add', 'wrap', 'rename'),
  value: odd,
  name: fc.oneof(
    fc.constantFrom('__proto__x', 'constructor', 'toString', 'id', 'tenant', 'queue', '', '\0', half),
    fc.string(),
  ),
})
type Step = typeof steps extends Arbitrary<infer Value> ? Value : never

/** @returns values that differ from one that fits in one to three places. */
export function mutated(fitting: Arbitrary<unknown>): Arbitrary<unknown> {
  return fc
    .tuple(fitting, fc.array(steps, { minLength: 1, maxLength: 3 }))
    .map(([value, each]) => each.reduce((changed: unknown, step) => change(structuredClone(changed), step, 0), value))
}

function change(value: unknown, step: Step, level: number): unknown {
  const keys = value !== null && typeof value === 'object' ? Object.keys(value) : []
  const position = step.at[level]
  if (position === undefined || keys.length === 0) return swap(value, step)
  const container = value as Record<string, unknown>
  const key = keys[position % keys.length] ?? ''
  const isLast = step.at[level + 1] === undefined
  if (isLast && (step.what === 'drop' || step.what === 'rename')) {
    if (step.what === 'rename') container[step.name] = container[key]
    delete container[key]
  } else container[key] = change(container[key], step, level + 1)
  return container
}

function swap(value: unknown, { what, value: other, name }: Step): unknown {
  if (what === 'wrap') return [value]
  if (what === 'add' && value !== null && typeof value === 'object') return { ...value, [name]: other }
  return other
}

const breaks: ((text: string, at: number) => string)[] = [
  (text, at) => text.slice(0, at),
  (text, at) => `${text.slice(0, at)},${text.slice(at)}`,
  (text, at) => `${text.slice(0, at)}\0${text.slice(at)}`,
  (text) => text.replace('{', '{"type":"echo","type":"echo",'),
  (text) => text.replace('{', '{"__proto__":{},'),
  (text) => text.replace(/\d+/, '1e400'),
  (text) => text.replace(/\d+/, '12345678901234567890'),
  (text) => text.replace('{', `{"deep":${'['.repeat(80)}${']'.repeat(80)},`),
  (text) => `\ufeff${text}`,
  (text) => text + text,
  () => '',
  (text) => text.replaceAll('"', "'"),
]

/** @returns the text of JSON values, some of it broken where only a parser sees it. */
export function broken(values: Arbitrary<unknown>): Arbitrary<Buffer> {
  return fc
    .tuple(
      values,
      fc.constantFrom(...breaks),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.constantFrom<BufferEncoding>('utf8', 'utf8', 'utf16le', 'latin1'),
    )
    .map(([value, breakIt, where, encoding]) => {
      const text = JSON.stringify(value) ?? 'null'
      return Buffer.from(breakIt(text, Math.floor(where * text.length)), encoding)
    })
}
