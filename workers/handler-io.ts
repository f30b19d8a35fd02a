import { PermanentError } from '@jobyard/queues/errors'
import type { z } from 'zod'

/** Longest output that is stored, in bytes of JSON. */
export const outputLimitBytes = 8_388_608

/**
 * Checks an input against its contract; what the schema fills in is filled in.
 *
 * @throws PermanentError with reason `input_invalid`: the contract has changed since the job was accepted.
 */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const parsed = schema.safeParse(input)
  if (!parsed.success)
    throw new PermanentError(`The input does not fit its contract: ${issues(parsed.error)}`, 'input_invalid')
  return parsed.data
}

/**
 * Turns what a handler returned into JSON text that fits its contract.
 *
 * @throws PermanentError with reason `output_invalid`, `output_not_serializable` or `output_too_large`.
 */
export function serializeOutput(schema: z.ZodType, output: unknown): string {
  const parsed = schema.safeParse(output)
  if (!parsed.success)
    throw new PermanentError(`The output does not fit its contract: ${issues(parsed.error)}`, 'output_invalid')
  const text = stringify(parsed.data)
  const bytes = Buffer.byteLength(text)
  if (bytes > outputLimitBytes) {
    throw new PermanentError(`The output has ${bytes} bytes, more than ${outputLimitBytes}`, 'output_too_large')
  }
  return text
}

function stringify(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch (error) {
    throw new PermanentError(`The output is no JSON: ${(error as Error).message}`, 'output_not_serializable')
  }
}

function issues(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.map(String).join('.') || 'value'}: ${issue.message}`)
    .join('; ')
}
