import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificate } from './certificate.ts'
import { witnessName, type Count, type Reading, type ReceiverSpec } from './desk.ts'
import type { Order } from './server.ts'

const dayMs = 86_400_000

/** Receivers of webhooks, in a process of their own. */
export class Receivers {
  readonly #process: ChildProcess
  readonly #folder: string
  readonly #specs: readonly ReceiverSpec[]
  readonly #urls: ReadonlyMap<string, string>
  readonly #ask: Asking

  private constructor(
    child: ChildProcess,
    folder: string,
    specs: readonly ReceiverSpec[],
    urls: ReadonlyMap<string, string>,
    ask: Asking,
  ) {
    this.#process = child
    this.#folder = folder
    this.#specs = specs
    this.#urls = urls
    this.#ask = ask
  }

  /** Opens receivers, and one more to which those redirect that do. Each believes nobody until its endpoint is made. */
  static async open(specs: readonly ReceiverSpec[]): Promise<Receivers> {
    const now = Date.now()
    const certificates = {
      valid: makeCertificate(new Date(now - dayMs), new Date(now + dayMs)),
      expired: makeCertificate(new Date(now - 2 * dayMs), new Date(now - dayMs)),
    }
    const folder = await mkdtemp(join(tmpdir(), 'jobyard-receivers-'))
    await writeFile(authoritiesIn(folder), certificates.valid.cert + certificates.expired.cert)
    const child = fork(new URL('server.ts', import.meta.url), { serialization: 'advanced', execArgv: [] })
    const ask = asking(child)
    const urls = (await ask({ ask: 'open', specs, certificates })) as Map<string, string>
    return new Receivers(child, folder, specs, urls, ask)
  }

  /** Variables of processes that may reach all but some of them, and trust their certificates, be they expired. */
  environment(except: readonly string[] = []): Record<string, string> {
    const allowed = [...this.#urls].filter(([name]) => !except.includes(name)).map(([, url]) => new URL(url).host)
    return { OUTBOUND_ALLOW: allowed.join(','), NODE_EXTRA_CA_CERTS: authoritiesIn(this.#folder) }
  }

  get specs(): readonly ReceiverSpec[] {
    return this.#specs
  }

  /** @throws Error when there is none of this name. */
  urlOf(name: string): string {
    const url = this.#urls.get(name)
    if (url === undefined) throw new Error(`There is no receiver ${name}`)
    return url
  }

  /** Has one believe what is signed with this secret too. */
  async believe(name: string, secret: string): Promise<void> {
    await this.#ask({ ask: 'believe', name, secret })
  }

  /** Has one give the answers that it holds back. */
  async release(name: string): Promise<void> {
    await this.#ask({ ask: 'release', name })
  }

  /** @returns how far each has come. */
  async counts(): Promise<ReadonlyMap<string, Count>> {
    return (await this.#ask({ ask: 'counts' })) as Map<string, Count>
  }

  /** @returns all that one has seen. */
  async read(name: string): Promise<Reading> {
    return (await this.#ask({ ask: 'read', name })) as Reading
  }

  /** @returns what the one has seen to which others redirect. */
  readWitness(): Promise<Reading> {
    return this.read(witnessName)
  }

  async close(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.disconnect()
    await ended
    await rm(this.#folder, { recursive: true, force: true })
  }
}

type Asking = (order: Order) => Promise<unknown>

/** Pairs answers with what was asked. */
function asking(child: ChildProcess): Asking {
  const open = new Map<number, (answer: unknown) => void>()
  let count = 0
  child.on('message', ({ number, answer }: { number: number; answer: unknown }) => {
    open.get(number)?.(answer)
    open.delete(number)
  })
  return async (order) => {
    const number = count++
    const answer = new Promise((resolve) => open.set(number, resolve))
    child.send({ number, order })
    return answer
  }
}

function authoritiesIn(folder: string): string {
  return join(folder, 'authorities.pem')
}
