import { isUtf8 } from 'node:buffer'
import secureJsonParse from 'secure-json-parse'
import { Problem } from './problem.ts'
import { countMembers, findDoubleKey, maxDepth, maxMembers, maxValues, scanJson } from './scan-json.ts'

/** Digits or an exponent that a double may not be able to hold; most bodies have none. */
const suspiciousNumber = /\d{16}|\d[eE]|\.\d{15}/

/** Some editors and clients begin a text with it; RFC 8259 lets parsers leave it out. */
const byteOrderMark = '\ufeff'

/** Reads a body as {@link parseJson} does. @throws Problem as that does, and `invalid-json` for bytes that are not UTF-8. */
export function readJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new Problem('invalid-json', 'Send valid JSON: what came is not UTF-8.')
  return parseJson(bytes.toString())
}

/**
 * Parses a body, refusing keys that would reach prototypes or stand twice in one object, what is too deep or too wide, and numbers
 * that JavaScript would change in silence.
 *
 * @throws Problem `invalid-json` or `validation-failed`.
 */
export function parseJson(body: string): unknown {
  const text = body.startsWith(byteOrderMark) ? body.slice(1) : body
  const { depth, members, values } = scanJson(text)
  if (depth > maxDepth) throw tooMuch(`is nested deeper than ${maxDepth} levels; make it flatter`)
  if (members > maxMembers) throw tooMuch(`has more than ${maxMembers} members; send less at once`)
  if (values > maxValues) throw tooMuch(`has more than ${maxValues} values; send less at once`)
  const value = parse(text)
  if (members > 1 && countMembers(value) !== members) throw doubleKey(text)
  if (suspiciousNumber.test(text)) JSON.parse(text, refuseChangedNumber)
  return value
}

function parse(text: string): unknown {
  if (text === '') throw new Problem('invalid-json', emptyBody)
  try {
    return secureJsonParse.parse(text, undefined, { protoAction: 'error', constructorAction: 'error' })
  } catch (error) {
    throw new Problem('invalid-json', `Send valid JSON: ${(error as Error).message}.`)
  }
}

/** What is said to those who send no body where one is needed. */
export const emptyBody = 'The body is empty. Send valid JSON as `Content-Type: application/json`.'

function tooMuch(message: string): Problem {
  return new Problem('validation-failed', `Mend the body: it ${message}.`, { errors: [{ path: '', message }] })
}

function doubleKey(text: string): Problem {
  const key = JSON.stringify(findDoubleKey(text)?.slice(0, 80))
  return new Problem('invalid-json', `Send valid JSON: the key ${key} stands twice in one object. Leave one out.`)
}

function refuseChangedNumber(key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value === 'number' && context?.source !== undefined && !isSame(context.source, value)) {
    throw new Problem(
      'validation-failed',
      `The number ${context.source.slice(0, 60)} would be changed. Send it as a string.`,
      {
        errors: [{ path: key, message: 'cannot be kept as a number; send it as a string' }],
      },
    )
  }
  return value
}

/** @returns whether the literal and the double it was read as are the same number. */
function isSame(source: string, value: number): boolean {
  return Number.isFinite(value) && (source === String(value) || normalise(source) === normalise(String(value)))
}

/** Sign, significant digits and decimal exponent of a number's text. */
function normalise(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  const digits = (whole + fraction).replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return '0'
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}
