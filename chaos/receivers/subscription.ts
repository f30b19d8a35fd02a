import { call } from '../load/call.ts'
import type { Entry, Wish } from '../load/ledger.ts'
import type { TrialContext } from '../rows/trial.ts'
import type { Stage } from '../stage/stage.ts'
import { takes } from './kinds.ts'
import type { Receivers } from './receivers.ts'

/** Jobs whose end an endpoint wants to hear of; all when absent. */
export interface Filter {
  readonly tags?: readonly string[]
  readonly jobTypes?: readonly string[]
}

/** An endpoint that leads to a receiver. */
export interface Subscription {
  /** Of the receiver. */
  readonly name: string
  readonly endpointId: string
  readonly filter: Filter
  /** Whether everything has to arrive that it wants: the receiver takes what comes, at once or later. */
  readonly mustGetAll: boolean
}

/** Makes an endpoint over HTTP, and has its receiver believe its secret. @param url where it leads, if by another name. @throws Error when it is refused. */
export async function subscribe(
  { random }: TrialContext,
  stage: Stage,
  receivers: Receivers,
  name: string,
  filter: Filter = {},
  url = receivers.urlOf(name),
): Promise<Subscription> {
  const body = { url, ...filter }
  const answer = await call(stage.api(random), '/v1/endpoints', { body })
  const { id, secret } = answer?.body ?? {}
  if (id === undefined || secret === undefined) {
    throw new Error(`The endpoint ${name} was answered with ${answer?.status}: ${JSON.stringify(answer?.body)}`)
  }
  await receivers.believe(name, secret)
  const spec = receivers.specs.find((each) => each.name === name)
  const mustGetAll = spec !== undefined && (takes(spec.kind) || spec.recoversAfter !== undefined)
  return { name, endpointId: id, filter, mustGetAll }
}

/** @returns those of the accepted jobs whose end an endpoint wants to hear of. */
export function wantedOf({ filter }: Subscription, accepted: readonly Entry[]): Entry[] {
  return accepted.filter(({ wish }) => wants(filter, wish))
}

function wants({ tags = [], jobTypes = [] }: Filter, wish: Wish): boolean {
  return (
    (tags.length === 0 || tags.some((tag) => wish.tags?.includes(tag))) &&
    (jobTypes.length === 0 || jobTypes.includes(wish.type))
  )
}
