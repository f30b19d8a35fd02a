import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const logger = new URL('logger.ts', import.meta.url).href

it.each([
  'x\n{"level":60,"msg":"forged"}',
  'x\r\n{"level":60}\r\n',
  '\u001b[2J\u001b[31mred\u001b]0;title\u0007',
  '\u2028{"level":60}\u2029\u0085\0',
  '"},{"level":60',
])('A value such as %j stays within one line of the log, and leaves the terminal alone', async (value) => {
  const program = `
    import { createLogger } from ${JSON.stringify(logger)}
    const log = createLogger('api', 'info')
    const value = process.env.VALUE_AS_JSON && JSON.parse(process.env.VALUE_AS_JSON)
    log.info({ value, [value]: 1, err: new Error(value) }, value)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    env: { ...process.env, VALUE_AS_JSON: JSON.stringify(value) },
  })
  expect(stdout.endsWith('\n')).toBe(true)
  const line = stdout.slice(0, -1)
  // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
  expect(line).not.toMatch(/[\u0000-\u001f\u007f]/)
  expect(JSON.parse(line)).toMatchObject({ level: 30, msg: value, value, err: { message: value } })
})

it('A password that a client of Redis says in its error stays out of the log', async () => {
  const program = `
    import { createLogger } from ${JSON.stringify(logger)}
    const refused = () => Object.assign(new Error('WRONGPASS'), { command: { name: 'auth', args: ['default', 'hunter2'] } })
    const log = createLogger('api', 'info')
    log.warn({ err: refused(), tickets: 1 }, 'x')
    log.warn({ err: Object.assign(new Error('outer'), { lastNodeError: refused() }) }, 'x')
    log.error(refused())`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])
  const lines = stdout.trim().split('\n')
  expect(lines.map((line) => JSON.parse(line).err.message)).toEqual(['WRONGPASS', 'outer', 'WRONGPASS'])
  expect(lines[0]).toContain('"name":"auth"')
  expect(stdout).not.toContain('hunter2')
})
