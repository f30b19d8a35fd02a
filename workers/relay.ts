import { findEndpointsBehind, type EndpointBehind } from '@jobyard/db/behind'
import { isRowError, type Database } from '@jobyard/db/connect'
import { takeSteps, type Course, type NewDelivery, type Step } from '@jobyard/db/deliveries'
import { newId } from '@jobyard/db/ids'
import { readStream, type StreamEvent, type StreamPage } from '@jobyard/db/stream'
import { wants } from '@jobyard/db/subscription'
import { webhookDeliver as contract, type DeliveryInput } from '@jobyard/queues/contracts/webhook-deliver'
import { eventJson, eventOutputLimit } from '@jobyard/queues/event-body'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { Logger } from 'pino'
import { DeliveryWindows } from './delivery-windows.ts'

/** Positions that are looked at for one endpoint in one round, at most. */
const pageLimit = 200
/** The same after a page without an event of the tenant: others' events, and deleted ones, are passed quickly. */
const emptyPageLimit = 1_000
/** Endpoints that one statement moves, the deliveries that it makes, and characters of their bodies, beyond a single endpoint's. */
const maxSteps = 1_000
const maxDeliveries = 500
const maxCharacters = 8 * 1_048_576
/** Pages that are held at once for the endpoints that share them: one of outputs may have 13 MB. */
const maxPages = 8
/** Wait before the next round while endpoints have no room, in milliseconds; longer while nothing moves. */
const shortestWaitMs = 25
const longestWaitMs = 100

export interface RelayOptions {
  readonly sql: Database['sql']
  readonly tickets: TicketSender
  readonly log: Logger
}

/**
 * Makes delivery jobs of events, for each endpoint at the pace at which it takes them. What decides is the cursor of the endpoint, so any
 * number of processes may relay; one is enough.
 */
export class Relay {
  readonly #options: RelayOptions
  readonly #windows: DeliveryWindows
  #waitMs = shortestWaitMs
  #failed = false
  #failedBefore = false

  constructor(options: RelayOptions) {
    this.#options = options
    this.#windows = new DeliveryWindows(options.sql)
  }

  /** One round for all endpoints. @returns whether there is more to do, or the milliseconds after which there may be. */
  async runOnce(): Promise<boolean | number> {
    const behind = await findEndpointsBehind(this.#options.sql, contract.queue)
    if (behind.length === 0) return false
    await this.#windows.look(behind)
    this.#failed = false
    const rounds = [await this.#advance('cursor', behind), await this.#advance('replay', behind)]
    this.#failedBefore = this.#failed
    if (this.#failed) return longestWaitMs
    if (rounds.some(({ more }) => more)) return true
    if (!rounds.some(({ waits }) => waits)) return false
    const idle = rounds.every(({ steps }) => steps === 0)
    this.#waitMs = idle ? Math.min(this.#waitMs * 2, longestWaitMs) : shortestWaitMs
    return this.#waitMs
  }

  /**
   * Has each endpoint take a step on its course, as far as it has room; one that cannot does not keep the others from it. What was
   * planned and read is held until there is enough of it for a statement.
   */
  async #advance(course: Course, behind: readonly EndpointBehind[]) {
    const pages = new Map<string, Promise<StreamPage>>()
    let chunk = new Chunk()
    let [more, waits, steps] = [false, false, 0]
    const takeChunk = async () => {
      if (chunk.steps.length > 0) await this.#orLater(this.#take(course, chunk.steps))
      chunk = new Chunk()
      pages.clear()
    }
    for (const endpoint of behind) {
      const leg = legOf(endpoint, course, this.#windows.room(endpoint), Math.round(Math.random()))
      if (!leg) continue
      const step = leg.room > 0 ? await this.#orLater(this.#plan(endpoint, leg, pages)) : undefined
      if (step) {
        if (!chunk.hasRoomFor(step)) await takeChunk()
        chunk.add(step)
        steps++
      }
      if ((step?.to ?? leg.from) === leg.end) continue
      if (step && step.deliveries.length < leg.room) more = true
      else waits = true
    }
    await takeChunk()
    return { more, waits, steps }
  }

  /** What fails is tried again in a later round; the log is told once, until a round succeeds. */
  async #orLater<Result>(work: Promise<Result>): Promise<Result | undefined> {
    return work.catch((error: unknown) => {
      if (!this.#failedBefore && !this.#failed)
        this.#options.log.warn({ err: error }, 'Deliveries could not be made, and are tried again')
      this.#failed = true
      return undefined
    })
  }

  /** To be called when somebody else relays. */
  rest(): void {
    this.#windows.forget()
  }

  async #plan(endpoint: EndpointBehind, leg: Leg, pages: Map<string, Promise<StreamPage>>): Promise<Step | undefined> {
    const read = (limit: number) => this.#read(endpoint, leg, limit, pages)
    const few = await read(isPicky(endpoint) ? pageLimit : Math.min(leg.room, pageLimit))
    const { events, through } = few.events.length === 0 && few.through < leg.end ? await read(emptyPageLimit) : few
    const wanted = events.filter((event) => wants(endpoint, event))
    const taken = wanted.slice(0, leg.room)
    const to = wanted.length > taken.length ? (taken.at(-1)?.position ?? leg.from) : through
    if (to === leg.from) return undefined
    return {
      endpointId: endpoint.id,
      from: leg.from,
      to,
      deliveries: taken.map((event) => deliveryOf(event, endpoint)),
    }
  }

  /** Endpoints that are at the same place share what is read there. */
  #read(
    { tenant, includeOutput }: EndpointBehind,
    { from, end }: Leg,
    limit: number,
    pages: Map<string, Promise<StreamPage>>,
  ): Promise<StreamPage> {
    const outputLimit = includeOutput ? eventOutputLimit : 0
    const range = { after: from, limit: Math.min(limit, end - from), tenant, outputLimit }
    const key = JSON.stringify(range)
    const reading = pages.get(key) ?? readStream(this.#options.sql, range)
    if (pages.size >= maxPages) pages.clear()
    pages.set(key, reading)
    return reading
  }

  /** Takes steps together; if one of their deliveries cannot be stored, finds it and sets it aside. */
  async #take(course: Course, steps: readonly Step[]): Promise<void> {
    const { sql, tickets, log } = this.#options
    try {
      const jobs = await takeSteps(sql, course, steps, terms)
      this.#windows.add(steps, new Set(jobs.map(({ id }) => id)))
      await tickets.send(jobs)
    } catch (error) {
      if (!isRowError(error)) throw error
      const halves = halve(steps)
      if (halves) for (const half of halves) await this.#orLater(this.#take(course, half))
      else {
        const { endpointId, deliveries: [delivery] = [] } = steps[0] ?? {}
        log.error(
          { err: error, endpointId, eventId: delivery?.eventId },
          'An event cannot be delivered as it is, and is set aside',
        )
        await takeSteps(sql, course, steps.map(setAside(error)), terms)
      }
    }
  }
}

const terms = {
  type: contract.type,
  queue: contract.queue,
  maxAttempts: contract.retry.maxAttempts,
  timeoutMs: contract.timeoutMs,
}

/** Where an endpoint is on one of its courses, where it would be at the end, and how many deliveries may be made on the way. */
interface Leg {
  readonly from: number
  readonly end: number
  readonly room: number
}

/**
 * @param room deliveries that the endpoint may still take.
 * @param toss 1 when the replay gets the last place of an odd number, 0 when what is new does.
 * @returns undefined when the endpoint is at the end.
 */
export function legOf(endpoint: EndpointBehind, course: Course, room: number, toss: number): Leg | undefined {
  const { cursor, head, replayCursor, replayUntil } = endpoint
  const due = dueOfReplay(endpoint)
  if (course === 'cursor') {
    const forReplay = Math.min((room + toss) >> 1, due)
    return cursor < head ? { from: cursor, end: head, room: room - forReplay } : undefined
  }
  if (replayCursor === null || replayUntil === null) return undefined
  return { from: replayCursor, end: replayUntil, room: Math.min(room, due) }
}

/** @returns how many deliveries a replay may make by now; 0 without one. A last one in the future tells of a clock that was set back. */
function dueOfReplay({ replayPerSecond, sinceReplayMs }: EndpointBehind): number {
  const sinceMs = sinceReplayMs < 0 ? 1_000 : Math.min(sinceReplayMs, 1_000)
  return Math.floor((sinceMs / 1_000) * (replayPerSecond ?? 0))
}

/** Whether an endpoint may want none of many events. */
function isPicky({ events, jobTypes, tags }: EndpointBehind): boolean {
  return events.length + jobTypes.length + tags.length > 0
}

function deliveryOf(event: StreamEvent, { id: endpointId, includeOutput }: EndpointBehind): NewDelivery {
  const { id: eventId, type: eventType, position } = event
  const input: DeliveryInput = { endpointId, eventId, position }
  const delivery = { id: newId(), eventId, eventType, position }
  try {
    return { ...delivery, input: JSON.stringify({ ...input, body: eventJson(event, { includeOutput }) }) }
  } catch (error) {
    return { ...delivery, input: JSON.stringify(input), error: notDeliverable(error) }
  }
}

/** The delivery fails at once, and is made of the event again when somebody redelivers it. */
function setAside(error: unknown): (step: Step) => Step {
  return (step) => ({
    ...step,
    deliveries: step.deliveries.map((delivery) => {
      const { body: _, ...input } = JSON.parse(delivery.input) as DeliveryInput
      return { ...delivery, input: JSON.stringify(input), error: notDeliverable(error) }
    }),
  })
}

function notDeliverable(error: unknown) {
  return { reason: 'not_deliverable', message: error instanceof Error ? error.message : String(error) }
}

/** Steps that are stored in one statement. */
class Chunk {
  readonly steps: Step[] = []
  #deliveries = 0
  #characters = 0

  hasRoomFor(step: Step): boolean {
    if (this.steps.length === 0) return true
    return (
      this.steps.length < maxSteps &&
      this.#deliveries + step.deliveries.length <= maxDeliveries &&
      this.#characters + weightOf(step) <= maxCharacters
    )
  }

  add(step: Step): void {
    this.steps.push(step)
    this.#deliveries += step.deliveries.length
    this.#characters += weightOf(step)
  }
}

function weightOf({ deliveries }: Step): number {
  return deliveries.reduce((total, { input }) => total + input.length, 0)
}

/** Cuts steps in two: those of some endpoints and those of others, or one step in the middle of its way. @returns undefined for a single delivery. */
export function halve(steps: readonly Step[]): [Step[], Step[]] | undefined {
  const [step] = steps
  if (steps.length > 1) return [steps.slice(0, steps.length >> 1), steps.slice(steps.length >> 1)]
  if (!step || step.deliveries.length < 2) return undefined
  const middle = step.deliveries.length >> 1
  const stop = step.deliveries[middle - 1]?.position ?? step.from
  return [
    [{ ...step, to: stop, deliveries: step.deliveries.slice(0, middle) }],
    [{ ...step, from: stop, deliveries: step.deliveries.slice(middle) }],
  ]
}
