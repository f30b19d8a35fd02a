/**
 * Nearest-rank percentile: the smallest value that at least `percent` % of the values do not exceed; 0 where there are none.
 *
 * @param percent above 0, up to 100.
 */
export function percentile(values: readonly number[], percent: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil((percent / 100) * values.length) - 1] ?? 0
}
