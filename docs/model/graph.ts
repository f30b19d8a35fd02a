/** A list of numbers that grows; far smaller in memory than an array. */
export class Numbers {
  #items = new Int32Array(1_024)
  #length = 0

  get length(): number {
    return this.#length
  }

  push(value: number): void {
    if (this.#length === this.#items.length) {
      const larger = new Int32Array(this.#length * 2)
      larger.set(this.#items)
      this.#items = larger
    }
    this.#items[this.#length++] = value
  }

  at(index: number): number {
    return this.#items[index] ?? 0
  }
}

/** Arrows from node to node, to be added in the order of the nodes they come from. */
export class Arrows {
  readonly #to = new Numbers()
  /** Where the arrows of each node begin. */
  readonly #begin = new Numbers()

  get count(): number {
    return this.#to.length
  }

  /** Begins with the arrows of the next node. */
  beginNode(): void {
    this.#begin.push(this.#to.length)
  }

  add(to: number): void {
    this.#to.push(to)
  }

  /** @returns the first node from which none of the goals can be reached; -1 when there is none. */
  firstThatCannotReach(isGoal: (node: number) => boolean): number {
    const nodes = this.#begin.length
    const { begin, from } = this.#reversed()
    const reaches = new Uint8Array(nodes)
    const open: number[] = []
    const mark = (node: number) => {
      if (reaches[node]) return
      reaches[node] = 1
      open.push(node)
    }
    for (let node = 0; node < nodes; node++) if (isGoal(node)) mark(node)
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      for (let arrow = at(begin, node); arrow < at(begin, node + 1); arrow++) mark(at(from, arrow))
    }
    return reaches.indexOf(0)
  }

  /** @returns the nodes of a circle, the first of which is the last one, too; empty when there is none. */
  circle(): number[] {
    const remaining = this.#leadingOn()
    const way: number[] = []
    const places = new Map<number, number>()
    for (let node = remaining.indexOf(1); node >= 0;) {
      const place = places.get(node)
      if (place !== undefined) return [...way.slice(place), node]
      places.set(node, way.push(node) - 1)
      node = this.#arrowsOf(node).find((to) => remaining[to]) ?? -1
    }
    return []
  }

  /** Marks the nodes from which arrows lead on for ever. */
  #leadingOn(): Uint8Array {
    const nodes = this.#begin.length
    const { begin, from } = this.#reversed()
    const left = Int32Array.from({ length: nodes }, (_, node) => this.#arrowsOf(node).length)
    const remaining = new Uint8Array(nodes).fill(1)
    const open: number[] = []
    left.forEach((count, node) => count === 0 && open.push(node))
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      remaining[node] = 0
      for (let arrow = at(begin, node); arrow < at(begin, node + 1); arrow++) {
        const before = at(from, arrow)
        left[before] = at(left, before) - 1
        if (left[before] === 0) open.push(before)
      }
    }
    return remaining
  }

  #arrowsOf(node: number): number[] {
    const begin = this.#begin.at(node)
    return Array.from({ length: this.#end(node) - begin }, (_, index) => this.#to.at(begin + index))
  }

  #end(node: number): number {
    return node + 1 < this.#begin.length ? this.#begin.at(node + 1) : this.#to.length
  }

  /** For each node the nodes that lead to it. */
  #reversed(): { begin: Int32Array; from: Int32Array } {
    const nodes = this.#begin.length
    const begin = new Int32Array(nodes + 2)
    const from = new Int32Array(this.#to.length)
    for (let arrow = 0; arrow < this.#to.length; arrow++) {
      const place = this.#to.at(arrow) + 2
      begin[place] = at(begin, place) + 1
    }
    for (let node = 1; node < begin.length; node++) begin[node] = at(begin, node) + at(begin, node - 1)
    for (let node = 0; node < nodes; node++) {
      for (let arrow = this.#begin.at(node); arrow < this.#end(node); arrow++) {
        const place = this.#to.at(arrow) + 1
        const slot = at(begin, place)
        from[slot] = node
        begin[place] = slot + 1
      }
    }
    return { begin, from }
  }
}

function at(numbers: Int32Array, index: number): number {
  return numbers[index] ?? 0
}
