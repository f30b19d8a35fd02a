import type { Rule, State } from './model.ts'

/** One thing that was done to the record, and what was answered. */
export interface Act {
  readonly rule: Rule
  /** The answer about a job, as {@link Rule} words it; undefined when the answer said nothing about it. */
  readonly answered: (id: string) => string | undefined
}

/**
 * Looks for an order of acts that ran at the same time in which the rules lead from `before` to what was found, and give the
 * answers that were given.
 *
 * @param sequences acts of each sender, in the order in which it sent them; those of different senders may mix in any way.
 * @param isFound whether a state is the one found in the record.
 * @returns the state reached; undefined when no order explains it.
 */
export function explain(
  before: State,
  sequences: readonly (readonly Act[])[],
  id: string,
  isFound: (state: State) => boolean,
): State | undefined {
  const open = sequences.filter((acts) => acts.length > 0)
  if (open.length === 0) return isFound(before) ? before : undefined
  for (const sequence of open) {
    const [act, ...rest] = sequence as [Act, ...Act[]]
    const others = open.map((acts) => (acts === sequence ? rest : acts))
    for (const after of [act.rule(before.job, before.around, id)].flat()) {
      if (after.answer !== act.answered(id)) continue
      const reached = explain(after, others, id, isFound)
      if (reached) return reached
    }
  }
  return undefined
}
