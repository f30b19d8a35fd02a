import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Document } from '@jobyard/api/openapi/document'
import fc from 'fast-check'
import { Conformance, routesOf, type Route } from '../conformance.ts'
import { Caller, type FuzzAnswer } from './call.ts'
import { Names } from './names.ts'
import { Requests, type FuzzRequest } from './requests.ts'

export interface FuzzOptions {
  readonly port: number
  readonly document: Document
  readonly requests: number
  readonly seed: number
  /** Names of what is there at the beginning, by the segment of the path before them; those of what is made are added. */
  readonly known: Readonly<Record<string, readonly string[]>>
}

/** What came of a run. */
export interface FuzzReport {
  readonly requests: number
  /** Requests that differ from all before in method, URL, headers or body. */
  readonly distinct: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>
  /** Operations that had a success. */
  readonly succeeded: ReadonlySet<string>
  /** What is not as the document says; ten at most. */
  readonly findings: readonly string[]
  /** After each sixth of the requests, in MB. */
  readonly memory: readonly { readonly heap: number; readonly rss: number }[]
}

const atOnce = 16
/** Requests that are made ahead. */
const chunk = 600
const maxFindings = 10

/** Sends requests that the document wants and such as it does not, and compares the answers with what it says. */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const run = new Run(options)
  const sixthOf = (sent: number) => Math.floor((sent * 6) / options.requests)
  const memory: FuzzReport['memory'][number][] = []
  for (let sent = 0; sent < options.requests; sent += chunk) {
    const count = Math.min(chunk, options.requests - sent)
    await run.send(count, sent)
    if (sixthOf(sent) < sixthOf(sent + count)) memory.push(memoryNow())
  }
  return run.report(memory)
}

class Run {
  readonly #options: FuzzOptions
  readonly #conformance: Conformance
  readonly #routes: (Route & { readonly pattern: RegExp })[]
  readonly #arbitrary: fc.Arbitrary<FuzzRequest>
  readonly #caller: Caller
  readonly #known: Names
  readonly #prints: Float64Array
  readonly #statuses: Record<string, number> = {}
  readonly #succeeded = new Set<string>()
  readonly #findings: string[] = []

  constructor(options: FuzzOptions) {
    this.#options = options
    this.#conformance = new Conformance(options.document)
    this.#routes = routesOf(options.document).map((route) => ({ ...route, pattern: patternOf(route.path) }))
    this.#arbitrary = new Requests(options.document).to(this.#routes)
    this.#caller = new Caller(options.port)
    this.#known = new Names(options.known)
    this.#prints = new Float64Array(options.requests)
  }

  async send(count: number, from: number): Promise<void> {
    const requests = fc.sample(this.#arbitrary, { seed: this.#options.seed + from, numRuns: count })
    requests.forEach((request, index) => (this.#prints[from + index] = printOf(request)))
    let next = 0
    const work = async () => {
      while (next < requests.length) {
        const index = next++
        await this.#try(requests[index] as FuzzRequest, from + index)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work))
  }

  report(memory: FuzzReport['memory']): FuzzReport {
    this.#caller.close()
    return {
      requests: this.#prints.length,
      distinct: new Set(this.#prints).size,
      statuses: this.#statuses,
      succeeded: this.#succeeded,
      findings: this.#findings,
      memory,
    }
  }

  async #try(request: FuzzRequest, index: number): Promise<void> {
    const url = this.#known.fill(request)
    try {
      const answer = await this.#caller.send(request, url)
      this.#statuses[answer.status] = (this.#statuses[answer.status] ?? 0) + 1
      this.#note(request, answer)
      const complaint = this.#complaint(request, url, answer)
      if (complaint) this.#find(index, request, url, complaint)
    } catch (error) {
      this.#find(index, request, url, (error as Error).message)
    }
  }

  #complaint({ route, method }: FuzzRequest, url: string, { status, headers, body }: FuzzAnswer): string | undefined {
    if (status >= 500) return `${status}: ${body.slice(0, 300)}`
    const answered = { status, contentType: headers['content-type'], body }
    if (method === route.method) return this.#conformance.complaint(route, answered)
    const there = this.#routes.filter(({ pattern }) => pattern.test(url))
    const other = there.find((each) => each.method === method)
    if (other) return this.#conformance.complaint(other, answered)
    const methods = there.map((each) => each.method)
    return refusesMethod(status, headers.allow, methods) ? undefined : `${method} was answered ${status}`
  }

  #note({ route, method }: FuzzRequest, { status, headers }: FuzzAnswer): void {
    if (status >= 300 || method !== route.method) return
    this.#succeeded.add(route.operation.operationId)
    if (headers.location) this.#known.add(headers.location)
  }

  #find(index: number, { method, headers, body }: FuzzRequest, url: string, complaint: string): void {
    if (this.#findings.length >= maxFindings) return
    const { authorization: _, ...others } = headers
    const sent = `${method} ${url.slice(0, 200)} ${JSON.stringify(others).slice(0, 300)} ${body?.toString().slice(0, 500) ?? ''}`
    this.#findings.push(`request ${index} of seed ${this.#options.seed}: ${complaint}\n  ${sent}`)
  }
}

/** Another method is refused with those there are, unless the URL, the headers or the body are refused before. */
function refusesMethod(status: number, allow = '', methods: readonly string[]): boolean {
  if (status === 405 || status === 204) return methods.every((method) => allow.split(', ').includes(method))
  return [400, 404, 413, 415, 422, 431].includes(status)
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll('.', String.raw`\.`).replaceAll(/\{\w+\}/g, '[^/?]+')}(\\?|$)`)
}

function printOf({ method, url, headers, body }: FuzzRequest): number {
  const hash = createHash('sha256')
    .update(JSON.stringify([method, url, headers]))
    .update(body ?? '')
  return hash.digest().readUIntBE(0, 6)
}

function memoryNow(): FuzzReport['memory'][number] {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  const { heapUsed, rss } = process.memoryUsage()
  return { heap: Math.round(heapUsed / 2 ** 20), rss: Math.round(rss / 2 ** 20) }
}
