import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OverloadedError } from './errors.ts'
import { MicroBatch } from './micro-batch.ts'

/** A `run` whose batches the test ends one by one. */
function held() {
  const batches: { items: number[]; end: () => void }[] = []
  const waiting: (() => void)[] = []
  const run = (items: number[]) =>
    new Promise<number[]>((resolve) => {
      batches.push({ items, end: () => resolve(items.map((item) => item * 10)) })
      for (const tell of waiting.splice(0)) tell()
    })
  const begun = async (count: number) => {
    while (batches.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    return batches[count - 1]!
  }
  return { run, batches, begun }
}

describe('A micro-batch', () => {
  it('sends what arrives in one turn of the event loop together', async () => {
    const { run, begun } = held()
    const batch = new MicroBatch({ run })
    const results = Promise.all([batch.add(1), batch.add(2)])
    const first = await begun(1)
    expect(first.items).toEqual([1, 2])
    first.end()
    expect(await results).toEqual([10, 20])
  })

  it('gathers what arrives while a batch is under way', async () => {
    const { run, begun } = held()
    const batch = new MicroBatch({ run })
    const first = batch.add(1)
    const underWay = await begun(1)
    const rest = Promise.all([batch.add(2), batch.add(3)])
    underWay.end()
    await first
    const second = await begun(2)
    expect(second.items).toEqual([2, 3])
    second.end()
    expect(await rest).toEqual([20, 30])
  })

  it('lets items gather until its spacing is over, unless they fill a batch', async () => {
    const { run, batches, begun } = held()
    const batch = new MicroBatch({ run, maxSize: 3, lanes: 1, spacingMs: 1_000_000 })
    const results = [batch.add(1), batch.add(2)]
    const first = await begun(1)
    results.push(batch.add(3), batch.add(4))
    first.end()
    await Promise.all(results.slice(0, 2))
    await new Promise((resolve) => setImmediate(resolve))
    expect(batches).toHaveLength(1)
    results.push(batch.add(5))
    const second = await begun(2)
    expect(second.items).toEqual([3, 4, 5])
    second.end()
    expect(await Promise.all(results)).toEqual([10, 20, 30, 40, 50])
  })

  it('sends what gathered when its spacing is over', async () => {
    const { run, begun } = held()
    const batch = new MicroBatch({ run, spacingMs: 20 })
    const results = Promise.all([batch.add(1), batch.add(2)])
    const startedAt = performance.now()
    ;(await begun(1)).end()
    await results
    const third = batch.add(3)
    ;(await begun(2)).end()
    expect(performance.now() - startedAt).toBeGreaterThan(15)
    expect(await third).toBe(30)
  })

  it.each([1, 2, 16])('does not hold up %d callers that wait for their answers', async (callers) => {
    const { run, begun } = held()
    const batch = new MicroBatch({ run, spacingMs: 1_000_000 })
    for (const round of [1, 2, 3]) {
      const results = Array.from({ length: callers }, (_, item) => batch.add(item))
      ;(await begun(round)).end()
      expect(await Promise.all(results)).toHaveLength(callers)
    }
  })

  it('keeps to its size, and to one lane unless there is a full batch for another', async () => {
    const { run, batches, begun } = held()
    const batch = new MicroBatch({ run, maxSize: 2, lanes: 2 })
    const all = Promise.all([1, 2, 3, 4, 5].map((item) => batch.add(item)))
    await begun(2)
    expect(batches.map(({ items }) => items)).toEqual([
      [1, 2],
      [3, 4],
    ])
    batches[1]!.end()
    await new Promise((resolve) => setImmediate(resolve))
    expect(batches).toHaveLength(2)
    batches[0]!.end()
    await begun(3)
    expect(batches[2]!.items).toEqual([5])
    batches[2]!.end()
    expect(await all).toEqual([10, 20, 30, 40, 50])
  })

  it('refuses more than may wait', async () => {
    const { run, begun } = held()
    const batch = new MicroBatch({ run, maxWaiting: 1 })
    const first = batch.add(1)
    const underWay = await begun(1)
    const second = batch.add(2)
    await expect(batch.add(3)).rejects.toBeInstanceOf(OverloadedError)
    underWay.end()
    await first
    ;(await begun(2)).end()
    expect(await second).toBe(20)
  })

  it('keeps to its weight, and lets a heavier item go alone', async () => {
    const sizes: number[] = []
    const batch = new MicroBatch<number, number>({
      run: async (items) => {
        sizes.push(items.length)
        return items
      },
      weigh: (item) => item,
      maxWeight: 10,
    })
    await Promise.all([4, 4, 4, 50, 1, 1].map((item) => batch.add(item)))
    expect(sizes).toEqual([2, 1, 1, 2])
  })

  it('refuses more weight than may wait', async () => {
    const { run, begun } = held()
    const batch = new MicroBatch({ run, weigh: (item) => item, maxWaitingWeight: 5 })
    const first = batch.add(5)
    await expect(batch.add(1)).rejects.toBeInstanceOf(OverloadedError)
    ;(await begun(1)).end()
    await first
  })

  it('is drained when everything is answered', async () => {
    const { run, begun } = held()
    const batch = new MicroBatch({ run })
    await batch.drained()
    const first = batch.add(1)
    const drained = batch.drained()
    ;(await begun(1)).end()
    await Promise.all([first, drained])
    expect(batch.size).toBe(0)
  })

  it('hands an error that struck all to all', async () => {
    const batch = new MicroBatch<number, number>({
      run: async () => {
        throw new Error('down')
      },
    })
    const results = await Promise.allSettled([batch.add(1), batch.add(2)])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  })

  it('refuses results that do not belong to its items', async () => {
    const batch = new MicroBatch<number, number>({ run: async () => [] })
    await expect(batch.add(1)).rejects.toThrow('1 items got 0 results')
  })

  it('lets bad items fail alone, and answers every other with its own result', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        async (bad, maxSize) => {
          const batch = new MicroBatch<number, number>({
            run: async (items) => {
              if (items.some((item) => bad[item])) throw new TypeError('bad item')
              return items.map((item) => item * 2)
            },
            isItemError: (error) => error instanceof TypeError,
            maxSize,
          })
          const results = await Promise.allSettled(bad.map((_, item) => batch.add(item)))
          const expected = bad.map((isBad, item) => (isBad ? 'rejected' : item * 2))
          expect(results.map((result) => (result.status === 'fulfilled' ? result.value : 'rejected'))).toEqual(expected)
        },
      ),
    )
  })
})
