import { missedPolicies, overlapPolicies, type ScheduleTerms } from '@jobyard/db/schedules'
import { z } from 'zod'
import { instant, jobTerms } from '../job-terms.ts'

const hourMs = 3_600_000

/** When something recurs. */
export const ruleFields = {
  cron: z.string().optional().describe('Five fields; six, of which the first is seconds, with `seconds`'),
  seconds: z.boolean().optional().describe('Whether `cron` has a field of seconds'),
  timeZone: z.string().optional().describe('IANA name of the zone whose clocks `cron` looks at; UTC when absent'),
  skipped: z
    .enum(['after', 'drop'])
    .optional()
    .describe('A time of day that clocks skip as summer begins: right after the gap (the default), or not at all'),
  repeated: z
    .enum(['auto', 'once', 'twice'])
    .optional()
    .describe(
      'One that clocks show twice as summer ends: once, unless the expression fires every hour (`auto`, the default)',
    ),
  everyMs: z.number().optional().describe('Instead of `cron`: milliseconds between two occurrences'),
  anchor: instant
    .optional()
    .describe(
      'Moment of one of the occurrences of `everyMs`; if absent, `startsAt`, or else when the schedule was made',
    ),
  startsAt: instant.optional().describe('None before'),
  endsAt: instant.optional().describe('None after'),
}

/** What people say about a schedule. */
export const scheduleDefinition = z.strictObject({
  ...jobTerms,
  ...ruleFields,
  jitterMs: z
    .int()
    .min(0)
    .max(hourMs)
    .default(0)
    .describe('Each occurrence is fired later by up to so many milliseconds, so that not all begin together'),
  missed: z
    .enum(missedPolicies)
    .default('once')
    .describe(
      'What becomes of occurrences that passed a minute ago or more while nobody could fire them: none, the last, or the last `missedMax` are fired',
    ),
  missedMax: z.int().min(1).max(1_000).default(100),
  overlap: z
    .enum(overlapPolicies)
    .default('allow')
    .describe('While the last run is unfinished: begin all the same, skip the occurrence, or cancel that run'),
  paused: z.boolean().optional().describe('Stays as it is when absent'),
})
export type ScheduleDefinition = z.output<typeof scheduleDefinition>
export type RuleFields = Pick<ScheduleDefinition, keyof typeof ruleFields>

/** A name that a schedule may have. */
export const scheduleName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'must be 1 to 64 letters, digits, dots, dashes or underscores, and begin with a letter or digit',
  )

/** @returns the rule as it is stored: without what was not said. */
export function storedRule(fields: RuleFields): ScheduleTerms['rule'] {
  const { cron, seconds, timeZone, skipped, repeated, everyMs, anchor, startsAt, endsAt } = fields
  const rule = { cron, seconds, timeZone, skipped, repeated, everyMs, anchor, startsAt, endsAt }
  return JSON.parse(JSON.stringify(rule)) as ScheduleTerms['rule']
}
