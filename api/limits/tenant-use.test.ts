import fc from 'fast-check'
import { expect, it } from 'vitest'
import { TenantUse, type Amount } from './tenant-use.ts'

const steps = fc.array(fc.constantFrom('hand in', 'commit', 'refuse', 'answer', 'begin', 'look', 'end', 'fail'), {
  maxLength: 200,
  size: 'max',
})

it('is never less than what waits, whenever a count looks', () => {
  fc.assert(
    fc.property(steps, fc.infiniteStream(fc.nat(50)), (names, bytes) => {
      const use = new TenantUse()
      const stored: Amount[] = []
      let handedIn: Amount[] = []
      let unanswered: { amount: Amount; isAccepted: boolean }[] = []
      let count: { seen?: Amount } | undefined
      const all = (): Amount => ({ jobs: stored.length, bytes: stored.reduce((sum, each) => sum + each.bytes, 0) })
      const acts: Record<string, () => void> = {
        'hand in': () => {
          const amount = { jobs: 1, bytes: bytes.next().value }
          use.handIn(amount)
          handedIn.push(amount)
        },
        commit: () => {
          const [amount, ...rest] = handedIn
          if (!amount) return
          handedIn = rest
          stored.push(amount)
          unanswered.push({ amount, isAccepted: true })
        },
        refuse: () => {
          const [amount, ...rest] = handedIn
          if (!amount) return
          handedIn = rest
          unanswered.push({ amount, isAccepted: false })
        },
        answer: () => {
          const [first, ...rest] = unanswered
          if (!first) return
          unanswered = rest
          use.answer(first.amount, first.isAccepted)
        },
        begin: () => {
          if (count) return
          use.beginCount()
          count = {}
        },
        look: () => {
          if (count) count.seen ??= all()
        },
        end: () => {
          if (!count?.seen) return
          use.endCount(count.seen)
          count = undefined
        },
        fail: () => {
          count = undefined
        },
      }
      for (const name of names) {
        acts[name]?.()
        const { jobs, bytes: size } = use.total
        expect(jobs).toBeGreaterThanOrEqual(stored.length)
        expect(size).toBeGreaterThanOrEqual(all().bytes)
      }
      while (handedIn.length > 0) acts.commit?.()
      while (unanswered.length > 0) acts.answer?.()
      for (const name of ['fail', 'begin', 'look', 'end']) acts[name]?.()
      expect(use.total).toEqual(all())
      expect(use.isUnderWay).toBe(false)
    }),
  )
})

it('forgets what no count confirms, until one tells what became of it', () => {
  const use = new TenantUse()
  const accept = (bytes: number) => {
    use.handIn({ jobs: 1, bytes })
    use.answer({ jobs: 1, bytes }, true)
  }
  use.beginCount()
  use.endCount({ jobs: 5, bytes: 50 })
  accept(10)
  use.beginCount()
  accept(20)
  use.forgetAccepted()
  expect(use.total).toEqual({ jobs: 5, bytes: 50 })
  accept(30)
  expect(use.total).toEqual({ jobs: 6, bytes: 80 })
  use.endCount({ jobs: 1, bytes: 10 })
  expect(use.total).toEqual({ jobs: 3, bytes: 60 })
  use.beginCount()
  use.failCount()
  expect(use.total).toEqual({ jobs: 2, bytes: 50 })
})
