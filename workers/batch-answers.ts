import type { z } from 'zod'
import type { BatchAnswers } from './define-handler.ts'
import { serializeOutput } from './handler-io.ts'
import { BatchAnswerError, outcomeOfThrown, type AttemptOutcome } from './outcome.ts'

/**
 * Checks what the handler of a batch returned: one answer for each of `count` jobs.
 *
 * @throws BatchAnswerError
 */
export function checkAnswers(answers: unknown, count: number): BatchAnswers {
  if (Array.isArray(answers) && answers.length === count) return answers
  const found = Array.isArray(answers)
    ? `an array of ${answers.length}`
    : String(answers === null ? null : typeof answers)
  throw new BatchAnswerError(`The handler must answer with an array of ${count}, one for each job; it was ${found}`)
}

/**
 * @returns how an attempt ended by the answer to its job.
 * @throws PermanentError when the answer is an output that does not fit the contract.
 */
export function outcomeOfAnswer(output: z.ZodType, answer: unknown): AttemptOutcome {
  if (answer instanceof Error) return outcomeOfThrown(answer)
  return { outcome: 'completed', output: serializeOutput(output, answer) }
}
