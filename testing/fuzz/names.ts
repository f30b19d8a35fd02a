import type { FuzzRequest } from './requests.ts'

/** Names that are kept of each kind. */
const maxKept = 200

/** Names of what is there, by the segment of the path before them. */
export class Names {
  readonly #kinds: Map<string, string[]>
  #added = 0

  constructor(known: Readonly<Record<string, readonly string[]>>) {
    this.#kinds = new Map(Object.entries(known).map(([kind, names]) => [kind, [...names]]))
  }

  /** @returns the URL of a request with a name that is there, where it wants one. */
  fill({ url }: Pick<FuzzRequest, 'url'>): string {
    const names = this.#kinds.get(url.split('/')[2] ?? '') ?? []
    return url.replace(/\{known:(\d+)\}/, (_, at: string) => names[Number(at) % names.length] ?? 'none')
  }

  /** Learns a name from the Location of what was made; in time it takes the place of an older one. */
  add(location: string): void {
    const [, , kind = '', name = ''] = location.split('/')
    const names = this.#kinds.get(kind) ?? []
    this.#kinds.set(kind, names)
    if (names.length < maxKept) names.push(name)
    else names[this.#added++ % maxKept] = name
  }
}
