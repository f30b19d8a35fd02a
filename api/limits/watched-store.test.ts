import type { TokenStore } from '@jobyard/queues/limits/token-store'
import { pino } from 'pino'
import { expect, it, onTestFinished } from 'vitest'
import { WatchedStore } from './watched-store.ts'

const limit = { perMs: 1, burst: 10 }
const patient = { timeout: 10_000 }

/** A store that does what it is told to. */
function openStore(take: TokenStore['take']) {
  const lines: { level: number; msg: string }[] = []
  const store = { take }
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const watched = new WatchedStore({ take: (...args) => store.take(...args) }, log)
  onTestFinished(() => watched.close())
  return { store, watched, told: () => lines.map(({ level, msg }) => [level, msg]) }
}

const isAway = [40, expect.stringMatching(/is away: each API limits by itself/)]
const isBack = [30, expect.stringMatching(/is back/)]

it('tells once that its store fails, and once that it is back', async () => {
  const { store, watched, told } = openStore(() => Promise.reject(new Error('gone')))
  expect(watched.answers).toBe(true)
  await Promise.all([1, 2, 3].map(() => watched.take('a', limit, 1, 1)))
  expect(watched.answers).toBe(false)
  expect(told()).toEqual([isAway])
  store.take = async () => ({ tokens: 1, fullInMs: 0 })
  await expect.poll(() => watched.answers, patient).toBe(true)
  expect(told()).toEqual([isAway, isBack])
  expect(await watched.take('a', limit, 1, 1)).toEqual({ tokens: 1, fullInMs: 0 })
})

it('takes a store that does not answer for one that is away', async () => {
  const { watched, told } = openStore(() => new Promise(() => {}))
  const began = performance.now()
  expect(await watched.take('a', limit, 1, 1)).toBeUndefined()
  expect(performance.now() - began).toBeLessThan(2_000)
  expect(told()).toEqual([isAway])
})

it('says nothing of a store that closes before it has answered', async () => {
  const { watched, told } = openStore(async () => {
    watched.close()
    throw new Error('closed')
  })
  await watched.take('a', limit, 1, 1)
  expect(told()).toEqual([])
})
