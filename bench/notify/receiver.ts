import { addEndpoint } from '@jobyard/testing/endpoints'
import { installationSecret } from '../accept/contestants.ts'
import { startService } from '../accept/service.ts'
import { withPostgres } from '../servers.ts'
import type { Arrivals } from './arrivals.ts'

/** Task of the process that receives what endpoints are sent. */
export interface ReceiverTask {
  /** Each has a port of its own. */
  readonly endpoints: number
}

/** What it says once it listens. */
export interface ReceiverReport {
  readonly ports: readonly number[]
  /** Who connects here is told all the time how many deliveries have come since the last {@link Receipts}, a number to a line. */
  readonly progressPort: number
}

export type ReceiverQuestion =
  | { readonly kind: 'secrets'; readonly secrets: readonly string[] }
  | { readonly kind: 'wait' | 'take'; readonly deliveries: number; readonly timeoutMs: number }

/** What has come since these were asked for last. */
export interface Receipts {
  /** To each endpoint; an event may come twice. */
  readonly requests: readonly number[]
  /** Of all requests, heads included. */
  readonly bytes: number
  /** Requests that were a sample: by the library of Standard Webhooks, and whether the body is that event. */
  readonly checked: number
  /** What was wrong with them. */
  readonly complaints: readonly string[]
  /** First arrivals, each by the number of the endpoint and the id of the event. */
  readonly arrivals: Arrivals
}

/** A process that stands for the machines of others. It answers each request by 200 at once. */
export interface Receiver {
  /** Its addresses, as `OUTBOUND_ALLOW` names them. */
  readonly allow: string
  readonly pid: number
  readonly progressPort: number
  /** Makes endpoints that lead here, with the defaults. @param cursor position after which they want events; the head when absent. */
  addEndpoints(databaseUrl: string, cursor?: number): Promise<void>
  /** Waits until so many deliveries have come since the last {@link take}, or the time is up. @returns how many have. */
  wait(deliveries: number, timeoutMs: number): Promise<number>
  /**
   * Waits as {@link wait} does, and begins anew.
   *
   * @throws Error when a request of the sample was not signed as it should be.
   */
  take(deliveries: number, timeoutMs: number): Promise<Receipts>
  stop(): Promise<void>
}

const program = new URL('receiver-process.ts', import.meta.url)
/** Requests at once that an endpoint allows, when nobody says otherwise. */
const defaultMaxInFlight = 50

/** Starts a receiver. @param endpoints how many; there is a process even for none, so that all measurements have the same ones. */
export async function startReceiver(endpoints: number): Promise<Receiver> {
  const task: ReceiverTask = { endpoints }
  const service = await startService<ReceiverReport>(program, { task })
  const { report, pid } = service
  const question = <Answer>(asked: ReceiverQuestion) => service.ask<Answer>(asked)
  const hosts = report.ports.map((port) => `127.0.0.1:${port}`)
  return {
    allow: hosts.join(','),
    pid,
    progressPort: report.progressPort,
    addEndpoints: async (databaseUrl, cursor) => {
      const secrets = await withPostgres(databaseUrl, async (sql) => {
        const added: string[] = []
        for (const host of hosts) {
          const wanted = { url: `http://${host}/hooks`, maxInFlight: defaultMaxInFlight }
          added.push((await addEndpoint(sql, wanted, installationSecret)).secret)
        }
        if (cursor !== undefined) await sql`update endpoints set cursor = ${cursor}`
        return added
      })
      await question({ kind: 'secrets', secrets })
    },
    wait: (deliveries, timeoutMs) => question<number>({ kind: 'wait', deliveries, timeoutMs }),
    take: async (deliveries, timeoutMs) => {
      const receipts = await question<Receipts>({ kind: 'take', deliveries, timeoutMs })
      const [complaint] = receipts.complaints
      if (complaint !== undefined) throw new Error(complaint)
      return receipts
    },
    stop: () => service.stop(),
  }
}
