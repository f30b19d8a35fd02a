import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { adminKey } from '@jobyard/testing/platform'
import type { Role } from '../../stage/crew.ts'
import type { Stage } from '../../stage/stage.ts'

/** Time after which a start that was to be refused is ended, in milliseconds. */
const withinMs = 15_000

/**
 * Starts a process that is expected not to start.
 *
 * @returns its exit code, null if it had to be ended, and what it printed.
 */
export async function startOnce(stage: Stage, role: Role): Promise<{ code: number | null; printed: string }> {
  const main = fileURLToPath(new URL(`../../../${role}/main.ts`, import.meta.url))
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: stage.postgres.url,
      ...(stage.redis && { REDIS_URL: stage.redis.url }),
      JOBYARD_ADMIN_KEY: adminKey,
      JOBYARD_SECRET: adminKey,
      PORT: '0',
    },
    timeout: withinMs,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code: code as number | null, printed: out + err }
}
