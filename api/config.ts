import { waitingLimit } from '@jobyard/db/waiting'
import { readConfiguration, serverVariables } from '@jobyard/queues/configuration'
import { limitForm, parseLimit } from '@jobyard/queues/limits/limit'
import { z } from 'zod'

const rateLimit = z
  .string()
  .transform((text, context) => {
    const limit = parseLimit(text)
    if (!limit) context.addIssue({ code: 'custom', message: limitForm })
    return limit ?? z.NEVER
  })
  .optional()

const variables = {
  ...serverVariables,
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535).default(3000),
  OUTBOUND_ALLOW: z.string().default(''),
  RATE_LIMIT_TENANT: rateLimit,
  RATE_LIMIT_KEY: rateLimit,
  TENANT_MAX_WAITING_JOBS: z.coerce.number().int().min(1).max(waitingLimit).optional(),
  TENANT_MAX_WAITING_BYTES: z.coerce.number().int().min(1).optional(),
  JOBYARD_ADMIN_KEY: z
    .string('is not set; `npm start` makes one, the single parts need one')
    .min(32, 'must have 32 characters or more'),
}

/** Reads the API's configuration. @throws Error with one line that names every bad variable. */
export function readConfig(environment: NodeJS.ProcessEnv) {
  return readConfiguration(variables, environment)
}
