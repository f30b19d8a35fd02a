import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../../random.ts'
import type { Link } from '../../stage/link.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Fault } from '../fault.ts'

/** Longer than the lease and than every deadline of the platform. */
const longMs = 25_000

/** What may happen between processes and servers. */
export const networkFaults: readonly Fault[] = [
  {
    name: 'connections reset',
    inject: (stage, random) =>
      disturb(stage, random, (link) => {
        link.cut(() => random.chance(50))
        return 0
      }),
  },
  {
    name: 'network severed',
    inject: (stage, random) =>
      disturb(stage, random, (link) => {
        link.sever()
        return random.int(500, 5_000)
      }),
  },
  {
    name: 'network frozen',
    inject: (stage, random) =>
      disturb(stage, random, (link) => {
        link.freeze()
        return random.int(500, 5_000)
      }),
  },
  {
    name: 'network frozen for long',
    inject: (stage, random) =>
      disturb(stage, random, (link) => {
        link.freeze()
        return longMs
      }),
  },
  {
    name: 'answers withheld',
    inject: (stage, random) =>
      disturb(stage, random, (link) => {
        link.mute()
        return random.int(500, 5_000)
      }),
  },
  {
    name: 'answers withheld for long',
    inject: (stage, random) =>
      disturb(stage, random, (link) => {
        link.mute()
        return longMs
      }),
  },
  {
    name: 'network slow',
    inject: (stage, random) =>
      disturb(stage, random, (link) => {
        link.slow(random.int(20, 200))
        return random.int(2_000, 5_000)
      }),
  },
]

/** @param harm returns how long it is to last, in milliseconds. */
async function disturb(stage: Stage, random: Random, harm: (link: Link) => number): Promise<string> {
  const role = random.pick(['api', 'workers'] as const)
  const { postgres, redis } = stage.links[role]
  const [name, link] = random.pick([['Postgres', postgres] as const, ...(redis ? [['Redis', redis] as const] : [])])
  const { connections } = link
  const ms = harm(link)
  await delay(ms)
  link.heal(random.chance(50))
  return `between ${role} and ${name} (${connections} connections) for ${ms} ms`
}
