import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'

/** Keeps the process alive and says that it is where it should be. */
const stay = `setInterval(() => {}, 60_000); process.stdout.write('ready')`

interface Program {
  readonly child: ChildProcess
  /** Exit code or signal, and what it wrote to standard output. */
  readonly ended: Promise<{ how: unknown; said: string }>
}

/** Runs lines that may use `stopOnSignals`, `log` and `works(shutdown)`; returns once they have written. */
async function run(lines: string, limits = '{}'): Promise<Program> {
  const program = `
    const { stopOnSignals } = await import(${JSON.stringify(new URL('./process.ts', import.meta.url).href)})
    const say = (line) => process.stdout.write(line + '\\n')
    const log = { info() {}, fatal: (...words) => say(words.at(-1)) }
    const works = (shutdown) => stopOnSignals(${limits}).stopWith({ log, graceMs: 0, hurry() {}, ...shutdown })
    ${lines}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const stdout = child.stdout!
  const ended = Promise.all([text(stdout), once(child, 'exit')]).then(([said, [code, signal]]) => ({
    how: code ?? signal,
    said,
  }))
  await Promise.race([once(stdout, 'readable'), ended])
  return { child, ended }
}

it.each(['SIGTERM', 'SIGINT'] as const)('%s ends a process that starts with 0', async (signal) => {
  const { child, ended } = await run(`stopOnSignals(); ${stay}`)
  child.kill(signal)
  expect(await ended).toMatchObject({ how: 0 })
})

it('The loss of the parent ends a process that starts', async () => {
  const { child, ended } = await run(`stopOnSignals(); ${stay}`)
  child.disconnect()
  expect(await ended).toMatchObject({ how: 0 })
})

it('A parent that was lost before anybody listened ends the process as well', async () => {
  const { child, ended } = await run(`
    setTimeout(() => {}, 60_000)
    say('before')
    await new Promise((resolve) => process.once('disconnect', resolve))
    stopOnSignals()
    say('it goes on')`)
  child.disconnect()
  expect(await ended).toEqual({ how: 0, said: 'before\n' })
})

it('A process that works is stopped in order', async () => {
  const { child, ended } = await run(`works({ stop: async () => say(' stopped') }); ${stay}`)
  child.kill('SIGTERM')
  expect(await ended).toEqual({ how: 0, said: 'ready stopped\n' })
})

it('A stop that fails ends with 1', async () => {
  const { child, ended } = await run(`works({ stop: async () => { throw new Error('no') } }); ${stay}`)
  child.kill('SIGTERM')
  expect(await ended).toMatchObject({ how: 1, said: expect.stringContaining('stopping failed') })
})

it('A stop that hangs is ended after the grace and some more, with 1', async () => {
  const { child, ended } = await run(
    `works({ graceMs: 20, stop: () => new Promise(() => {}) }); ${stay}`,
    '{ afterGraceMs: 30 }',
  )
  child.kill('SIGTERM')
  expect(await ended).toMatchObject({ how: 1, said: expect.stringContaining('longer than 50 ms') })
})

it('A stop that hangs after a second signal is ended soon', async () => {
  const { child, ended } = await run(
    `works({ graceMs: 3_600_000, stop: () => new Promise(() => {}), hurry: () => say(' hurried') }); ${stay}`,
    '{ afterHurryMs: 50 }',
  )
  child.kill('SIGTERM')
  child.kill('SIGINT')
  expect(await ended).toMatchObject({ how: 1, said: expect.stringMatching(/hurried\n.*longer than 50 ms/) })
})

it('A process may stop itself in order, with an exit code of its own; a signal that comes then hurries it', async () => {
  const { ended } = await run(`
    const signals = stopOnSignals()
    signals.stopWith({
      log,
      graceMs: 3_600_000,
      stop: () => new Promise((resolve) => process.once('hurried', resolve)),
      hurry: () => process.emit('hurried'),
    })
    signals.stop('enough', 7)
    signals.stop('enough, again', 8)
    say('stopping')
    setTimeout(() => process.kill(process.pid, 'SIGTERM'), 1)`)
  expect(await ended).toEqual({ how: 7, said: 'stopping\n' })
})
