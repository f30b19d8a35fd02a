import { z } from 'zod'

const year10000 = Date.UTC(10_000, 0, 1)

/** A moment as people write it. */
export const instant = z.iso
  .datetime({ offset: true })
  .refine((text) => Number.isFinite(Date.parse(text)) && Date.parse(text) < year10000, 'is out of range')
  .describe('RFC 3339')

/** Text that Postgres keeps as it is. @returns a schema to which bounds can be added. */
export function storableText() {
  return z
    .string()
    .refine((text) => !text.includes('\0') && text.isWellFormed(), 'must not hold NUL or half of a surrogate pair')
}

/** Metadata of one job, in bytes of JSON: listings carry it. */
const maxMetadataBytes = 65_536

/** What people may say about a job, whether it runs once or by a schedule. */
export const jobTerms = {
  type: z.string().max(255).describe('A name from /v1/job-types'),
  input: z.unknown().describe("Fits the type's input schema"),
  priority: z.int().min(0).max(9).default(0).describe('0 first to 9 last'),
  maxAttempts: z.int().min(1).max(100).optional().describe("The contract's, when absent"),
  timeoutMs: z
    .int()
    .min(1)
    .max(86_400_000)
    .optional()
    .describe("Time one attempt may take; the contract's, when absent"),
  tags: z.array(storableText().min(1).max(64)).max(20).default([]),
  metadata: z
    .record(z.string(), z.unknown())
    .refine(
      (metadata) => Buffer.byteLength(JSON.stringify(metadata)) <= maxMetadataBytes,
      'has more than 64 KiB as JSON',
    )
    .default({})
    .describe('Kept with the job, up to 64 KiB of JSON; jobs are found by its fields'),
}
