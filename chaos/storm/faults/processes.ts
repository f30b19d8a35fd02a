import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../../random.ts'
import type { Member } from '../../stage/crew.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Fault } from '../fault.ts'

/** The first of each kind is spared, so that one sees what a process holds that lives through everything else. */
const mortalWorkers = ({ workers }: Stage): Member[] => workers.slice(1)
const mortalApis = ({ apis }: Stage): Member[] => apis.slice(1)
const anyOf = (stage: Stage, random: Random): Member => random.pick([...mortalApis(stage), ...mortalWorkers(stage)])

/** Longer than the lease, so that the process is declared dead while it stands. */
const beyondLeaseMs = 14_000
const dayMs = 86_400_000
const clockOffsetsMs = [-40_000, 40_000, -3_600_000, 3_600_000, 365 * dayMs]

/** What may happen to processes. Each that ends is started again. */
export const processFaults: readonly Fault[] = [
  {
    name: 'worker killed',
    inject: async (stage, random) => kill(random.pick(mortalWorkers(stage))),
  },
  {
    name: 'API killed',
    inject: async (stage, random) => kill(random.pick(mortalApis(stage))),
  },
  {
    name: 'most workers killed at once',
    inject: async (stage) => {
      await Promise.all(mortalWorkers(stage).map((worker) => worker.kill()))
      return ''
    },
  },
  {
    name: 'process asked to stop',
    inject: async (stage, random) => {
      const member = anyOf(stage, random)
      return `${member.name} ended with ${await member.end(random.pick(['SIGTERM', 'SIGINT']))}`
    },
  },
  {
    name: 'process asked to stop twice',
    inject: async (stage, random) => {
      const member = anyOf(stage, random)
      const ended = member.end('SIGTERM')
      await delay(random.int(1, 200))
      member.signal('SIGTERM')
      return `${member.name} ended with ${await ended}`
    },
  },
  {
    name: 'process killed while it stops',
    inject: async (stage, random) => {
      const member = anyOf(stage, random)
      const ended = member.end('SIGTERM')
      await delay(random.int(1, 300))
      member.signal('SIGKILL')
      await ended
      return member.name
    },
  },
  {
    name: 'process stopped and continued',
    inject: async (stage, random) => freeze(anyOf(stage, random), random.int(500, 3_000)),
  },
  {
    name: 'worker stopped beyond its lease',
    inject: async (stage, random) => freeze(random.pick(mortalWorkers(stage)), beyondLeaseMs),
  },
  {
    name: 'event loop blocked',
    inject: async (stage, random) => block(anyOf(stage, random), random.int(500, 3_000)),
  },
  {
    name: 'event loop of a worker blocked beyond its lease',
    inject: async (stage, random) => block(random.pick(mortalWorkers(stage)), beyondLeaseMs),
  },
  {
    name: 'clock turned',
    inject: async (stage, random) => {
      const member = anyOf(stage, random)
      const offsetMs = random.pick(clockOffsetsMs)
      await member.restartWith({ CHAOS_CLOCK_OFFSET_MS: String(offsetMs) })
      return `${member.name} by ${offsetMs} ms`
    },
  },
]

async function kill(member: Member): Promise<string> {
  await member.kill()
  return member.name
}

async function freeze(member: Member, ms: number): Promise<string> {
  member.signal('SIGSTOP')
  await delay(ms)
  member.signal('SIGCONT')
  return `${member.name} for ${ms} ms`
}

async function block(member: Member, ms: number): Promise<string> {
  member.block(ms)
  await delay(ms)
  return `${member.name} for ${ms} ms`
}
