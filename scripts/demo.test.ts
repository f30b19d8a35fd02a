import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'

const file = fileURLToPath(new URL('./demo.ts', import.meta.url))
/** The slowest machine that should still pass, in milliseconds. */
const patience = { timeout: 120_000 }

let home: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'jobyard-demo-'))
  // Where tests run as root, the embedded Postgres runs as another user, who must get through.
  await chmod(home, 0o711)
})
afterAll(() => rm(home, { recursive: true, force: true }))

interface Demo {
  readonly child: ChildProcess
  /** Resolves once the output has a match. */
  printed(pattern: RegExp): Promise<void>
  ended(): Promise<{ exitCode: number | null; output: string }>
}

function startDemo(): Demo {
  const { DATABASE_URL: _database, REDIS_URL: _redis, ...environment } = process.env
  const child = spawn(process.execPath, [file], {
    env: { ...environment, JOBYARD_HOME: home, PORT: '0' },
    stdio: 'pipe',
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const exit = once(child, 'close')
  return {
    child,
    printed: async (pattern) => {
      while (!pattern.test(output))
        await Promise.race([once(child.stdout, 'data'), exit.then(() => expect(output).toMatch(pattern))])
    },
    ended: async () => {
      const [exitCode] = await exit
      return { exitCode, output }
    },
  }
}

it(
  'the demo ends by itself with every count agreed, and without control characters where there is no terminal',
  patience,
  async () => {
    const { exitCode, output } = await startDemo().ended()
    expect(output).toContain('Client and database agree on every count.')
    expect(output).toMatch(/^✔ \d+ webhooks received, one for each job; .* every signature right, \d+ came again$/m)
    expect(output).toMatch(/^· Event \d+ on the stream: job\.failed, http\.request, url_not_allowed$/m)
    expect(output).toMatch(/Bull Board +http:\/\/127\.0\.0\.1:\d+\/board/)
    expect(output).not.toMatch(/[^\P{Cc}\n]/u)
    expect(exitCode).toBe(0)
  },
)

it('a second run on the same home counts only its own jobs', patience, async () => {
  const { exitCode, output } = await startDemo().ended()
  expect(output).toMatch(/^github\.event +726 +726 /m)
  expect(output).toMatch(/^Codertocat\/Hello-World +502 +1,004$/m)
  expect(output).toMatch(/^job\.failed +5 +\d+ +5$/m)
  expect(exitCode).toBe(0)
})

it('Ctrl-C in the middle stops everything in order', patience, async () => {
  const demo = startDemo()
  await demo.printed(/jobs accepted/)
  demo.child.kill('SIGINT')
  const { exitCode, output } = await demo.ended()
  expect(output).toMatch(/· Stopped after .*\n$/)
  expect(exitCode).toBe(130)
})
