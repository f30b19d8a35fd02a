import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/*
 * Sends requests that the OpenAPI document wants, and such as it does not, to an API on each carrier, and compares the answers with it.
 * `npm test` does so with 5,000; `npm run fuzz -- --requests 100000 --seed 7` with as many as one likes.
 */
const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
})
const vitest = fileURLToPath(new URL('vitest.mjs', import.meta.resolve('vitest/package.json')))
const child = spawn(process.execPath, [vitest, 'run', 'api/fuzz.test.ts', '--coverage.enabled=false'], {
  stdio: 'inherit',
  env: { ...process.env, FUZZ_REQUESTS: values.requests, FUZZ_SEED: values.seed },
})
const [code] = (await once(child, 'exit')) as [number | null]
process.exitCode = code ?? 1
