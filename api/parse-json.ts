import secureJsonParse from 'secure-json-parse'
import { Problem } from './problem.ts'

/** Digits or an exponent that a double may not be able to hold; most bodies have none. */
const suspiciousNumber = /\d{16}|\d[eE]|\.\d{15}/

/**
 * Parses a body, refusing keys that would reach prototypes, and numbers that JavaScript would change in silence.
 *
 * @throws Problem `invalid-json` or `validation-failed`.
 */
export function parseJson(text: string): unknown {
  const value = parse(text)
  if (suspiciousNumber.test(text)) JSON.parse(text, refuseChangedNumber)
  return value
}

function parse(text: string): unknown {
  try {
    return secureJsonParse.parse(text, undefined, { protoAction: 'error', constructorAction: 'error' })
  } catch (error) {
    throw new Problem('invalid-json', `Send valid JSON: ${(error as Error).message}.`)
  }
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
  return Number.isFinite(value) && normalise(source) === normalise(String(value))
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
