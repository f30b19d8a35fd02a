import { migrateAll } from '@jobyard/queues/migrate'
import { createTemplate, startTestPostgres } from '@jobyard/testing/postgres'
import { Random } from '../random.ts'
import { emptyReport, type Part, type PartOptions, type Report, type Violation } from '../report.ts'
import { faultKinds, type FaultKind } from './fault.ts'
import { unknownLabel } from './labels.ts'
import { openLane, type Lane } from './lane.ts'
import { lives as allLives, type Life } from './lives.ts'
import { playLife, type FaultAt, type Played } from './play.ts'
import type { Point } from './switchboard.ts'

/**
 * Faults at exact points: every call that the platform makes to its servers in the lives of jobs fails before, fails after, is
 * delayed, is doubled, and loses its connection before and after, one trial each. Starts a Postgres of its own.
 */
export const exact: Part = async (options) => {
  const postgres = await startTestPostgres()
  const escaped: Violation[] = []
  const onEscape = (error: unknown) => void escaped.push(escapeOf(error))
  const events = ['uncaughtException', 'unhandledRejection'] as const
  for (const event of events) process.on(event, onEscape)
  try {
    await createTemplate(postgres.url, (url) => migrateAll(url))
    const report = await tryPoints(options, { postgresAdminUrl: postgres.url })
    return { ...report, violations: [...report.violations, ...escaped] }
  } finally {
    for (const event of events) process.off(event, onEscape)
    await postgres.stop()
  }
}

function escapeOf(error: unknown): Violation {
  const timeline = String(error instanceof Error ? error.stack : error).split('\n')
  return { invariant: 'I1', what: 'an error that nobody caught would have ended a process', timeline }
}

export interface Scope {
  /** Server that has the template of `createTemplate`. */
  readonly postgresAdminUrl: string
  readonly lives?: readonly Life[]
  /** Trials at most. */
  readonly most?: number
  /** Platforms on which trials go on at once: most of their time is waiting. */
  readonly lanes?: number
}

/** Times that each life is played without a fault: calls of upkeep that fall into it by chance are not in all of them. */
const rehearsals = 2
/** Calls of one label that are tried in one life, from the first on; a long one has many of upkeep that are like each other. */
const mostOfALabel = { short: 2, long: 1 }
const progressEvery = 100

interface Planned {
  readonly life: Life
  readonly fault: FaultAt
}

/** Plays each life once to learn the points that it reaches, then tries faults at them. */
export async function tryPoints(options: PartOptions, scope: Scope): Promise<Report> {
  const { carrier, seed, minutes, onProgress } = options
  const { postgresAdminUrl, lives = allLives, most = Number.POSITIVE_INFINITY, lanes: width = 8 } = scope
  const started = performance.now()
  const random = new Random(seed)
  const tally = new Tally(options)
  const lanes = new Lanes(() => openLane(carrier, postgresAdminUrl), width)

  const points = new Map<Life, readonly Point[]>()
  await lanes.work(longestFirst(lives), async (lane, life) => {
    for (let rehearsal = 0; rehearsal < rehearsals; rehearsal++) {
      const played = await playLife(lane, life)
      tally.add(played)
      const reached = new Set(pointsWorthTrying(life, played.reached))
      points.set(life, points.get(life)?.filter((point) => reached.has(point)) ?? [...reached])
    }
    return true
  })
  const planned = shuffle(planOf(lives, points, random), random)
  const chosen = planned.slice(0, most)
  onProgress(
    `${carrier}: ${planned.length} faults at ${[...points.values()].flat().length} points of ${lives.length} lives`,
  )

  const faultsSince = performance.now()
  let tried = 0
  await lanes.work(chosen, async (lane, { life, fault }) => {
    if (performance.now() - faultsSince > minutes * 60_000) return true
    const played = await playLife(lane, life, fault)
    tally.add(played)
    tried++
    if (tried % progressEvery === 0) onProgress(`${carrier}: ${tried} of ${chosen.length} tried, ${tally.summary}`)
    return played.verdict.violations.length === 0
  })
  await lanes.close()
  const figures = {
    lives: lives.length,
    points: [...points.values()].flat().length,
    planned: planned.length,
    'left out': planned.length - tried,
    'not reached': tried - tally.injected,
  }
  return tally.report(figures, (performance.now() - started) / 1_000)
}

function longestFirst(lives: readonly Life[]): Life[] {
  return lives.toSorted((one, other) => Number(other.long ?? false) - Number(one.long ?? false))
}

/** @throws Error when a statement has no label. */
function pointsWorthTrying({ long = false }: Life, reached: readonly Point[]): Point[] {
  const nameless = reached.find((point) => point.includes(unknownLabel))
  if (nameless) throw new Error(`chaos/exact/labels.ts has no rule for ${nameless}`)
  return reached.filter((point) => Number(point.split('/').at(-1)) <= mostOfALabel[long ? 'long' : 'short'])
}

function planOf(lives: readonly Life[], points: ReadonlyMap<Life, readonly Point[]>, random: Random): Planned[] {
  return lives.flatMap((life) =>
    (points.get(life) ?? []).flatMap((point) =>
      faultKinds
        .filter((kind) => isPossible(kind, point))
        .map((kind) => ({ life, fault: { point, kind, random: random.fork() } })),
    ),
  )
}

/** A connection cannot be made twice; what a handler writes itself is not the platform's to keep from being doubled. */
function isPossible(kind: FaultKind, point: Point): boolean {
  return kind !== 'doubled' || !/\/(connect|effect)\/\d+$/.test(point)
}

function shuffle<Item>(items: readonly Item[], random: Random): Item[] {
  const shuffled = [...items]
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = random.int(0, at)
    ;[shuffled[at], shuffled[other]] = [shuffled[other] as Item, shuffled[at] as Item]
  }
  return shuffled
}

/** Platforms side by side, each of which does one thing after the other. */
class Lanes {
  readonly #open: () => Promise<Lane>
  readonly #idle: (Lane | undefined)[]

  constructor(open: () => Promise<Lane>, width: number) {
    this.#open = open
    this.#idle = Array.from({ length: width })
  }

  /** Does all of the work. @param doOne answers whether the platform is whole; one that is not is replaced. */
  async work<Item>(items: readonly Item[], doOne: (lane: Lane, item: Item) => Promise<boolean>): Promise<void> {
    const left = [...items].reverse()
    await Promise.all(
      this.#idle.map(async (_, index) => {
        for (let item = left.pop(); item !== undefined; item = left.pop()) {
          const lane = (this.#idle[index] ??= await this.#open())
          if (await doOne(lane, item)) continue
          this.#idle[index] = undefined
          await lane.close().catch(() => {})
        }
      }),
    )
  }

  async close(): Promise<void> {
    await Promise.all(this.#idle.map(async (lane) => lane?.close()))
  }
}

/** Adds up what trials have come to. */
class Tally {
  readonly #options: PartOptions
  readonly #faults: Record<string, number> = {}
  readonly #violations: Violation[] = []
  readonly #recoveries: number[] = []
  readonly #sums = { accepted: 0, lost: 0, doubled: 0, eventsMissing: 0 }

  constructor(options: PartOptions) {
    this.#options = options
  }

  get injected(): number {
    return this.#recoveries.length
  }

  get summary(): string {
    const { lost, doubled, eventsMissing } = this.#sums
    return `${this.#violations.length} violations, ${lost} lost, ${doubled} doubled, ${eventsMissing} events missing`
  }

  add({ verdict, accepted, injected, healedMs }: Played): void {
    const { violations, lost, doubled, eventsMissing } = verdict
    this.#sums.lost += lost
    this.#sums.doubled += doubled
    this.#sums.eventsMissing += eventsMissing
    for (const { what } of violations) this.#options.onProgress(what)
    this.#violations.push(...violations)
    if (injected === undefined) return
    this.#faults[injected] = (this.#faults[injected] ?? 0) + 1
    this.#sums.accepted += accepted
    this.#recoveries.push(healedMs)
  }

  report(figures: Record<string, number>, seconds: number): Report {
    return {
      ...emptyReport('exact', this.#options),
      ...this.#sums,
      faults: { real: {}, exact: this.#faults },
      violations: this.#violations,
      recoveries: { 'from the fault until every job had ended': this.#recoveries },
      figures,
      seconds,
    }
  }
}
