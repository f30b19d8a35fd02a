import type { Random } from '../random.ts'
import { describeFault, drawFault, type CallOf, type FaultKind } from './fault.ts'
import type { Lane } from './lane.ts'
import type { Life } from './lives.ts'
import { judge, type Verdict } from './outside-view.ts'
import { Scene } from './scene.ts'
import type { Point } from './switchboard.ts'
import { ends, Trial } from './trial.ts'

/** A fault that is to happen in a life. */
export interface FaultAt {
  readonly point: Point
  readonly kind: FaultKind
  /** Decides its details. */
  readonly random: Random
}

/** What the playing of a life has come to. */
export interface Played {
  readonly verdict: Verdict
  /** Jobs that were answered with 2xx. */
  readonly accepted: number
  /** Kind of the fault that has happened; undefined when there was none, or its point was not reached. */
  readonly injected: FaultKind | undefined
  /** The points that the life has reached, in order. */
  readonly reached: readonly Point[]
  /** Time from the fault until every job had ended and the platform was seen to be whole, in milliseconds. */
  readonly healedMs: number
}

/** Plays a life with a fault, or without; then sees whether the platform is whole, and whether every promise was kept. */
export async function playLife(lane: Lane, life: Life, faultAt?: FaultAt): Promise<Played> {
  const { switchboard } = lane
  const scene = new Scene()
  lane.scene = scene
  const trial = new Trial(lane, scene)
  let injectedAt: number | undefined
  if (faultAt) {
    const { point, kind, random } = faultAt
    const fault = drawFault(kind, callAt(point, lane), random)
    const onBegin = () => {
      injectedAt = performance.now()
      scene.note(`fault at ${point}: ${describeFault(fault)}`)
    }
    switchboard.begin({ point, fault, onBegin })
  } else switchboard.begin()
  const reached: Point[] = []
  const trouble = await playToItsEnd(trial, life, (points) => reached.push(...points))
  const healedMs = injectedAt === undefined ? 0 : Math.round(performance.now() - injectedAt)
  const headline = `"${life.name}" ${faultAt ? `with ${faultAt.point} ${faultAt.kind}` : 'without a fault'}`
  return {
    verdict: await judge(trial, headline, trouble),
    accepted: trial.accepted.size,
    injected: injectedAt === undefined ? undefined : faultAt?.kind,
    reached,
    healedMs,
  }
}

function callAt(point: Point, { kind }: Lane): CallOf {
  if (point.startsWith('carrier/') && kind === 'redis') return 'command'
  return point.includes('/effect/') ? 'statement of a handler' : 'statement'
}

/** @returns what went wrong on the way, if anything did. */
async function playToItsEnd(
  trial: Trial,
  life: Life,
  onEnd: (reached: readonly Point[]) => void,
): Promise<string | undefined> {
  try {
    await life.play(trial)
    await trial.ended()
    onEnd(trial.lane.switchboard.reached)
    await trial.lane.switchboard.over()
    await Promise.all(['echo', 'batch.apart'].map((type) => trial.submit({ type, end: ends.completed })))
    await trial.ended()
    await trial.clear()
    return undefined
  } catch (error) {
    await trial.clear().catch(() => {})
    return error instanceof Error ? error.message : String(error)
  }
}
