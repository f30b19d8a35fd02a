import { isIP } from 'node:net'
import { waitingLimit } from '@jobyard/db/waiting'
import { readConfiguration, serverVariables } from '@jobyard/queues/configuration'
import { limitForm, parseLimit } from '@jobyard/queues/limits/limit'
import { z } from 'zod'
import { readJwtSettings } from './callers/jwt-settings.ts'

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
  JOBYARD_JWT_ISSUER: z.string().optional(),
  JOBYARD_JWT_AUDIENCE: z.string().optional(),
  JOBYARD_JWT_JWKS_URL: z.string().optional(),
  JOBYARD_JWT_PUBLIC_KEY: z.string().optional(),
  CORS_ORIGINS: listOf(isOrigin, 'may name only origins like https://app.example, and no *'),
  TRUSTED_PROXIES: listOf(isNetwork, 'may name only addresses and networks like 10.0.0.7 or 10.1.0.0/16'),
}

/** Reads the API's configuration. @throws Error with one line that names every bad variable, or says what tokens need. */
export function readConfig(environment: NodeJS.ProcessEnv) {
  const config = readConfiguration(variables, environment)
  return { ...config, jwt: readJwtSettings(config) }
}

/** A list with commas between, in which each part is to fit. */
function listOf(fits: (part: string) => boolean, message: string) {
  return z
    .string()
    .default('')
    .transform((list) =>
      list
        .split(',')
        .map((part) => part.trim())
        .filter(Boolean),
    )
    .refine((parts) => parts.every(fits), message)
}

function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text
}

function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const bits = { 4: 32, 6: 128 }[isIP(address)] ?? -1
  const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits)
  return bits > 0 && rest.length === 0 && isPrefix
}
