import { readFileSync } from 'node:fs'
import { z } from 'zod'

/** What the environment says to every process alike, about the two servers for the most part. */
export const serverVariables = {
  DATABASE_URL: z
    .string('is not set; `npm start` brings its own Postgres, the single parts need one')
    .regex(/^postgres(ql)?:\/\//, 'must look like postgres://user:password@host:5432/database'),
  REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\//, 'must look like redis://host:6379 or rediss://…')
    .optional(),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  JOBYARD_SECRET: z
    .string('is not set; `npm start` makes one, the single parts need one')
    .min(32, 'must have 32 characters or more'),
  SHUTDOWN_GRACE_MS: z.coerce.number().int().min(0).max(3_600_000).default(25_000),
}

/**
 * Reads a process's configuration. `NAME_FILE` names a file that holds the value of `NAME`; an empty value counts as unset.
 *
 * @throws Error with one line that names every bad variable and what is wrong with it.
 */
export function readConfiguration<Shape extends z.ZodRawShape>(
  shape: Shape,
  environment: NodeJS.ProcessEnv,
): z.output<z.ZodObject<Shape>> {
  const values = Object.fromEntries(Object.keys(shape).map((name) => [name, readVariable(name, environment)]))
  const parsed = z.object(shape).safeParse(values)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`)
  throw new Error(`Bad configuration: ${problems.join('; ')}`)
}

/** @returns the value of a variable, or of the file that `NAME_FILE` names; undefined when it is unset or empty. */
export function readVariable(name: string, environment: NodeJS.ProcessEnv): string | undefined {
  const file = environment[`${name}_FILE`]
  const value = environment[name] || (file && readFileSync(file, 'utf8').trim())
  return value || undefined
}
