/**
 * Nearest-rank percentile: the smallest value that at least `percent` % of the values do not exceed.
 *
 * @param values in any order.
 * @param percent above 0, up to 100.
 * @returns undefined when there are no values.
 */
export function percentile(values: readonly number[], percent: number): number | undefined {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1]
}
