import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import type { ItemAnswer } from './batch-items.ts'
import type { StreamLimits } from './batch-stream.ts'
import { BatchStreams } from './batch-streams.ts'

const accepted = (index: number, item: unknown): ItemAnswer => ({ index, id: String(item) })
const refused = (index: number): ItemAnswer => ({ index, problem: { type: '', title: '', status: 400, detail: '' } })

/** Streams whose items are under way until they are accepted by hand. */
function openStreams(limits: Partial<StreamLimits> = {}) {
  const underWay: { accept: () => void }[] = []
  let handedIn = 0
  const submit = (_tenant: string, index: number, item: unknown) =>
    new Promise<ItemAnswer>((resolve) => {
      handedIn++
      underWay.push({ accept: () => resolve(accepted(index, item)) })
    })
  const streams = new BatchStreams({ submit, refuse: refused }, limits)
  return {
    underWay,
    handedIn: () => handedIn,
    open: (source: Readable) => openStream(streams, source),
    holdUp: (heldUp: boolean) => streams.holdUp(heldUp),
    acceptAll: () => underWay.splice(0).forEach(({ accept }) => accept()),
  }
}

function openStream(streams: BatchStreams, source: Readable) {
  onTestFinished(() => void source.destroy())
  return streams.open('default', source)
}

/** Numbers without end, a line each. */
function endlessLines(width = 8): Readable {
  return Readable.from(
    (function* () {
      for (let number = 0; ; number++) yield Buffer.from(`${String(number).padStart(width)}\n`)
    })(),
    { objectMode: false },
  )
}

it('answers in the order of the lines, in whatever order they are carried out', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 30 }), fc.infiniteStream(fc.nat()), async (count, picks) => {
      const { open, underWay } = openStreams()
      const stream = open(Readable.from(Array.from({ length: count }, (_, index) => Buffer.from(`${index}\n`))))
      await expect.poll(() => underWay.length, { interval: 1 }).toBe(count)
      for (const pick of picks) {
        if (underWay.length === 0) break
        underWay.splice(pick % underWay.length, 1)[0]!.accept()
      }
      const answers = (await text(await stream.begun())).trimEnd().split('\n')
      expect(answers).toEqual(Array.from({ length: count }, (_, index) => JSON.stringify({ index, id: String(index) })))
    }),
    { numRuns: 30 },
  )
})

it('hands in one more item only when one was answered', async () => {
  const { open, underWay, handedIn } = openStreams({ maxUnderWay: 5 })
  const stream = open(endlessLines())
  await expect.poll(handedIn).toBe(5)
  underWay[0]?.accept()
  ;(await stream.begun()).resume()
  await expect.poll(handedIn).toBe(6)
  underWay[1]?.accept()
  await expect.poll(handedIn).toBe(7)
})

it('counts the bytes of what is under way too', async () => {
  const { open, acceptAll, handedIn } = openStreams({ maxHeldBytes: 1_000 })
  const stream = open(endlessLines(300))
  await expect.poll(handedIn).toBe(4)
  acceptAll()
  ;(await stream.begun()).resume()
  await expect.poll(handedIn).toBe(8)
})

it('shares what may be under way evenly with other streams', async () => {
  const { open, acceptAll, handedIn, underWay } = openStreams({ maxUnderWay: 4 })
  const first = open(endlessLines(1))
  await expect.poll(handedIn).toBe(4)
  const second = open(endlessLines(1))
  await expect.poll(handedIn).toBe(6)
  acceptAll()
  for (const stream of [first, second]) (await stream.begun()).resume()
  await expect.poll(handedIn).toBe(10)
  expect(underWay).toHaveLength(4)
})

it.each(['accepted', 'refused'])(
  'reads no more while nobody reads that lines were %s, and gives up after the idle time',
  async (kind) => {
    let handedIn = 0
    const submit = async (_tenant: string, index: number, item: unknown) => {
      handedIn++
      return kind === 'accepted' ? accepted(index, item) : refused(index)
    }
    const streams = new BatchStreams(
      { submit, refuse: refused },
      { maxUnderWay: 100, maxHeldBytes: 20_000, idleMs: 50 },
    )
    const output = await openStream(streams, endlessLines()).begun()
    await once(output, 'close')
    expect(handedIn).toBeLessThan(10_000)
  },
)

it('ends when its client has gone, once what was handed in is answered', async () => {
  const { open, handedIn, underWay, acceptAll } = openStreams()
  const source = new PassThrough()
  const stream = open(source)
  source.write('1\n2')
  await expect.poll(handedIn).toBe(1)
  source.destroy()
  await once(source, 'close')
  acceptAll()
  await stream.ended
  expect([handedIn(), underWay.length]).toEqual([1, 0])
})

it('is refused when it is opened after all were closed', async () => {
  const streams = new BatchStreams({ submit: async (_tenant, index) => refused(index), refuse: refused })
  streams.close()
  const stream = openStream(streams, endlessLines())
  await expect(stream.begun()).rejects.toMatchObject({ kind: 'unavailable' })
})

it('reads nothing while it is held up, and goes on where it was', async () => {
  const { open, acceptAll, handedIn, holdUp } = openStreams({ maxUnderWay: 2 })
  const stream = open(Readable.from([Buffer.from('0\n1\n2\n3\n')]))
  await expect.poll(handedIn).toBe(2)
  holdUp(true)
  acceptAll()
  const answers = text(await stream.begun())
  expect(handedIn()).toBe(2)
  holdUp(false)
  await expect.poll(handedIn).toBe(4)
  acceptAll()
  expect((await answers).trimEnd().split('\n')).toHaveLength(4)
})

it('ends when it is held up for too long, and says from where on to send again', async () => {
  const { open, acceptAll, handedIn, holdUp } = openStreams({ maxUnderWay: 1, heldUpMs: 20 })
  const stream = open(endlessLines())
  await expect.poll(handedIn).toBe(1)
  holdUp(true)
  acceptAll()
  const [first, last] = (await text(await stream.begun())).trimEnd().split('\n')
  expect([first, last].map((answer) => JSON.parse(answer!))).toMatchObject([
    { index: 0, id: '0' },
    { index: 1, problem: { status: 503, detail: expect.stringMatching(/database.*from this index/) } },
  ])
})
