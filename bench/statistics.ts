/** @returns the middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const upper = sorted.at(sorted.length >> 1)
  const lower = sorted.at((sorted.length - 1) >> 1)
  if (upper === undefined || lower === undefined) throw new RangeError('There are no values')
  return (lower + upper) / 2
}

/**
 * Nearest-rank percentile: the smallest value that at least `percent` % of the values do not exceed.
 *
 * @param percent above 0, up to 100.
 */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((left, right) => left - right)
  const found = sorted[Math.ceil((percent / 100) * sorted.length) - 1]
  if (found === undefined) throw new RangeError('There are no values')
  return found
}

/**
 * How many times the baseline a contestant is: the median of the ratios of each round, so that a slow minute of the machine,
 * which strikes both, does not count.
 */
export function medianRatio(values: readonly number[], baseline: readonly number[]): number {
  if (values.length !== baseline.length) throw new RangeError('Ratios are taken of rounds that both have')
  return median(values.map((value, round) => value / (baseline[round] ?? Number.NaN)))
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** @returns the items in the same order, beginning with another one for each turn. */
export function rotate<Item>(items: readonly Item[], turn: number): Item[] {
  const start = turn % Math.max(items.length, 1)
  return [...items.slice(start), ...items.slice(0, start)]
}
