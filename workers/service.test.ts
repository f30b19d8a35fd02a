import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { Loop } from './service.ts'

const log = pino({ level: 'silent' })

it('A loop repeats its round, at once while there is more, and goes on after a failure', async () => {
  const rounds: number[] = []
  const done = Promise.withResolvers<void>()
  const loop = new Loop({
    name: 'test',
    everyMs: 1,
    log,
    runOnce: async () => {
      rounds.push(rounds.length)
      if (rounds.length === 2) throw new Error('once')
      if (rounds.length === 5) done.resolve()
      return rounds.length < 2
    },
  })
  await loop.stop()
  loop.start()
  loop.start()
  await done.promise
  await loop.stop()
  const { length } = rounds
  await loop.stop()
  expect(rounds).toHaveLength(length)
})

it('A loop that is stopped waits for its round, not for its pause', async () => {
  const round = Promise.withResolvers<void>()
  let ended = false
  const loop = new Loop({
    name: 'test',
    everyMs: 3_600_000,
    log,
    runOnce: async () => {
      await round.promise
      ended = true
    },
  })
  loop.start()
  const stopped = loop.stop()
  round.resolve()
  await stopped
  expect(ended).toBe(true)
})

it('A loop that is woken does not wait for its pause, nor for longer than its round has said', async () => {
  let rounds = 0
  const reached = [1, 2, 3].map(() => Promise.withResolvers<void>())
  const loop = new Loop({
    name: 'test',
    everyMs: 3_600_000,
    log,
    runOnce: async () => {
      reached[rounds++]?.resolve()
      return rounds === 2 ? 1 : false
    },
  })
  loop.start()
  await reached[0]?.promise
  loop.wake()
  await Promise.all(reached.map(({ promise }) => promise))
  await loop.stop()
  expect(rounds).toBe(3)
})

it('A loop gives up a round that never ends, and begins the next one', async () => {
  let rounds = 0
  const second = Promise.withResolvers<void>()
  const loop = new Loop({
    name: 'test',
    everyMs: 1,
    deadlineMs: 20,
    log,
    runOnce: async () => {
      if (rounds++ === 0) await new Promise(() => {})
      second.resolve()
    },
  })
  loop.start()
  await second.promise
  await loop.stop()
  expect(rounds).toBeGreaterThan(1)
})

it('The watchdog kills a process whose event loop is blocked, and says so', async () => {
  const program = `
    const { startWatchdog } = await import(${JSON.stringify(new URL('./watchdog.ts', import.meta.url).href)})
    startWatchdog({ blockedMs: 300, everyMs: 50 })
    setTimeout(() => { for (;;); }, 200)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const [, signal] = (await once(child, 'exit')) as [number, string]
  expect(signal).toBe('SIGKILL')
  expect(said).toContain('The event loop was blocked')
})
