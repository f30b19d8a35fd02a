import { startJobyardApi, startProducer, type CarrierKind, type HttpService } from '../accept/contestants.ts'
import type { Place, Rival } from '../accept/rivals.ts'
import type { Named } from '../rounds.ts'
import type { WorkerName } from './workers.ts'

/** A chain from the request to the record. */
export interface Contestant extends Named {
  readonly name: WorkerName
  /** Starts the process that takes the requests. */
  startIntake(place: Place): Promise<HttpService>
}

/** What the others are given as multiples of. */
export const baseline: WorkerName = 'BullMQ raw, Redis'

/** Our own chains. */
export const jobyardOn: Readonly<Record<CarrierKind, Contestant>> = {
  redis: {
    name: 'Jobyard, Redis',
    note: 'job, output and outbox event recorded; concurrency 500',
    startIntake: (place) => startJobyardApi(place, 'redis'),
  },
  postgres: {
    name: 'Jobyard, embedded carrier',
    note: 'the same without Redis: tickets in Postgres',
    startIntake: (place) => startJobyardApi(place, 'postgres'),
  },
}

export const contestants: readonly Contestant[] = [
  ...Object.values(jobyardOn),
  rival(baseline, 'nothing recorded; concurrency 100', 'BullMQ, Redis'),
  rival('BullMQ raw, Postgres', 'nothing recorded; concurrency 100, 20 connections', 'BullMQ, Postgres'),
  rival(
    'BullMQ, Redis, recording row by row',
    'a row for each request; a transaction per job: status, output, outbox event; concurrency 100, 20 connections',
    'BullMQ, Redis, recording row by row',
  ),
  rival('Graphile Worker, default', 'job deleted; concurrency 24', 'Graphile Worker'),
  rival(
    'Graphile Worker, batched',
    'job deleted; local queue of 500, completions batched, concurrency 24',
    'Graphile Worker',
  ),
  rival(
    'pg-boss',
    'status and output recorded; notified of new jobs, batches of 500, 4 workers',
    'pg-boss with notify',
  ),
]

function rival(name: WorkerName, note: string, kind: Rival): Contestant {
  return { name, note, startIntake: (place) => startProducer(place, kind) }
}
