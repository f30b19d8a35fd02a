import type { Results } from './results.ts'

/**
 * Joins what parts that ran apart have found: sections of an earlier run stay where it was of the same commit, which both name,
 * and where they are of other parts. Pure.
 *
 * @param order names of all parts, as they are to be told.
 */
export function joinResults(earlier: Results | undefined, found: Results, order: readonly string[]): Results {
  if (earlier?.commit !== found.commit || !namesOneState(found.commit)) return found
  const foundParts = new Set(found.sections.map(({ part }) => part))
  const kept = earlier.sections.filter(({ part }) => !foundParts.has(part))
  const sections = [...kept, ...found.sections].toSorted(
    (left, right) => order.indexOf(left.part) - order.indexOf(right.part),
  )
  return { ...found, sections }
}

/** Files that differ from a commit may differ otherwise the next time. */
function namesOneState(commit: string): boolean {
  return /^[0-9a-f]+$/.test(commit)
}
