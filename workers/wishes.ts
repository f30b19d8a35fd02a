import type { Database } from '@jobyard/db/connect'
import { readWishes, type OptInEvent, type Tells } from '@jobyard/db/telling'

/** Remembers which events are asked for of those that are written only then. */
export class Wishes {
  readonly #sql: Database['sql']
  #types: ReadonlySet<OptInEvent> = new Set()

  constructor(sql: Database['sql']) {
    this.#sql = sql
  }

  /** Whether somebody asked for events of this type when it was last looked at. */
  readonly tells: Tells = (type) => this.#types.has(type)

  /** Looks at what is asked for. */
  async runOnce(): Promise<void> {
    this.#types = new Set(await readWishes(this.#sql))
  }
}
