import { readConfiguration, serverVariables } from '@jobyard/queues/configuration'
import { z } from 'zod'

const dayMs = 86_400_000
const duration = z.coerce.number().int().min(1_000)

const variables = {
  ...serverVariables,
  /** Set by a worker process for the one that it starts for suspects, not by people. */
  WORKER_DUTY: z.enum(['ordinary', 'suspects']).default('ordinary'),
  WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(10_000).default(50),
  RETENTION_COMPLETED_MS: duration.default(7 * dayMs),
  RETENTION_FAILED_MS: duration.default(30 * dayMs),
  RETENTION_EVENTS_MS: duration.default(7 * dayMs),
  RETENTION_AUDIT_MS: duration.default(365 * dayMs),
  OUTBOUND_ALLOW: z.string().default(''),
  OUTBOUND_PROXY: z
    .string()
    .regex(/^https?:\/\/[^/?#]+\/?$/, 'must look like http://user:password@proxy:3128')
    .optional(),
  JOBYARD_SCHEDULES: z.string().optional(),
  SMTP_URL: z
    .string()
    .regex(/^smtps?:\/\//, 'must look like smtp://user:password@host:587')
    .optional(),
}

/**
 * Reads the workers' configuration.
 *
 * @param queues that `WORKER_QUEUES` may name.
 * @throws Error with one line that names every bad variable.
 */
export function readConfig(environment: NodeJS.ProcessEnv, queues: readonly string[]) {
  return readConfiguration({ ...variables, WORKER_QUEUES: someOf(queues) }, environment)
}

function someOf(queues: readonly string[]) {
  return z
    .string()
    .transform((list) =>
      list
        .split(',')
        .map((name) => name.trim())
        .filter(Boolean),
    )
    .refine((names) => names.length > 0 && names.every((name) => queues.includes(name)), {
      message: `may name only ${queues.join(', ')}`,
    })
    .optional()
}
