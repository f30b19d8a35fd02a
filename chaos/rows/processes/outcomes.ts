import { Caller, type JobView } from '../../load/caller.ts'
import { returnables, throwables } from '../../stage/naughty/contracts.ts'
import { naughtyPrograms } from '../../stage/naughty/programs.ts'
import { readCalls } from '../../stage/naughty/witness.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Trial, TrialContext } from '../trial.ts'

const crowdSize = 500
const endsWithinMs = 30_000
/** Longest message of an error that the record keeps, in characters, with its ellipsis. */
const longestMessage = 2_001
/** Least wait before a second attempt, in milliseconds. */
const shortestRetryMs = 1_000

/** How a job ends that returns this, besides failing for the reason `error`. */
const endsOf: Partial<Record<(typeof returnables)[number], string>> = {
  'a BigInt': 'output_not_serializable',
  'a cycle': 'output_not_serializable',
  '50 MB': 'output_too_large',
  'NUL and half a character': 'completed',
  'nothing, ever': 'timed_out',
  undefined: 'completed',
  'a function': 'completed',
}

export const outcomes: readonly Trial[] = [
  {
    row: 16,
    name: 'one output in a batch of 500 cannot be stored',
    run: async (context) => {
      const stage = await context.stage({
        apis: 1,
        workers: 1,
        programs: naughtyPrograms,
        postgresSettings: { max_stack_depth: '100kB' },
      })
      const caller = new Caller(() => stage.api(context.random))
      const spoiled = context.random.int(0, crowdSize - 1)
      const jobs = Array.from({ length: crowdSize }, (_, index) => ({
        type: 'naughty.crowd',
        input: { spoils: index === spoiled },
      }))
      context.injected('output that cannot be stored')
      const views = await caller.ended(await caller.submitAll(jobs), endsWithinMs)
      views.forEach((job, index) => judgeOfCrowd(context, job, index === spoiled))
      await context.endWell(stage)
    },
  },
  {
    row: 29,
    name: 'handlers throw what is no error, or what BullMQ takes for a command',
    run: async (context) => {
      const stage = await context.stage({ apis: 1, workers: 1, programs: naughtyPrograms })
      const caller = new Caller(() => stage.api(context.random))
      const jobs = throwables.flatMap((what) =>
        [1, 2].map((maxAttempts) => ({ type: 'naughty', input: { does: 'throw', what }, maxAttempts })),
      )
      for (const { input } of jobs) context.injected('handler throws', input.what)
      const views = await caller.ended(await caller.submitAll(jobs), endsWithinMs)
      for (const [index, job] of views.entries()) {
        const { input, maxAttempts } = jobs[index] ?? {}
        await judgeThrower(context, stage, job, `A job that throws ${input?.what}`, maxAttempts ?? 0)
      }
      await context.endWell(stage)
    },
  },
  {
    row: 30,
    name: 'handlers return what no JSON can hold, or nothing ever',
    run: async (context) => {
      const stage = await context.stage({ apis: 1, workers: 1, programs: naughtyPrograms })
      const caller = new Caller(() => stage.api(context.random))
      const jobs = returnables.map((what) => ({ type: 'naughty', input: { does: 'return', what }, timeoutMs: 5_000 }))
      for (const { input } of jobs) context.injected('handler returns', input.what)
      const views = await caller.ended(await caller.submitAll(jobs), endsWithinMs)
      for (const [index, job] of views.entries()) {
        const what = returnables[index] ?? 'undefined'
        judgeReturner(context, job, what)
      }
      await context.endWell(stage)
    },
  },
]

function judgeOfCrowd(context: TrialContext, job: JobView, spoils: boolean): void {
  const seen = `${job.status}, ${job.error?.reason ?? JSON.stringify(job.output)}, ${job.attemptsMade} attempts`
  const right = spoils
    ? job.status === 'failed' && job.error?.reason === 'output_not_storable'
    : job.status === 'completed' && (job.output as { together?: number }).together === crowdSize
  const what = spoils ? 'The job whose output cannot be stored' : 'Its neighbour'
  context.expect(right && job.attemptsMade === 1, 'row 16', `${what} ended as ${seen} (job ${job.id})`)
}

/** One attempt is spent on each throw, none follows at once, and the reason can be read. */
async function judgeThrower(
  context: TrialContext,
  stage: Stage,
  job: JobView,
  who: string,
  attempts: number,
): Promise<void> {
  const calls = (await readCalls(stage.folder)).filter(({ jobId }) => jobId === job.id)
  const waitMs = (calls[1]?.beganAt ?? Number.POSITIVE_INFINITY) - (calls[0]?.beganAt ?? 0)
  context.expect(job.status === 'failed' && job.error?.reason === 'error', 'row 29', `${who} ended as ${told(job)}`)
  context.expect((job.error?.message.length ?? 0) <= longestMessage, 'row 29', `${who} has a message of great length`)
  context.expect(job.attemptsMade === attempts, 'I6', `${who} ${attempts} times cost ${job.attemptsMade} attempts`)
  context.expect(calls.length === attempts, 'row 29', `${who} ${attempts} times was run ${calls.length} times`)
  context.expect(waitMs >= shortestRetryMs, 'row 29', `${who} was run again after ${waitMs} ms`)
}

function judgeReturner(context: TrialContext, job: JobView, what: (typeof returnables)[number]): void {
  const expected = endsOf[what]
  const ended = job.status === 'completed' ? 'completed' : job.error?.reason
  const right = ended !== undefined && (expected === undefined ? ended !== 'completed' : ended === expected)
  context.expect(right && job.attemptsMade === 1, 'row 30', `A job that returns ${what} ended as ${told(job)}`)
  if (what === 'NUL and half a character') {
    context.expect(job.output === '\0 \ud800', 'row 30', `NUL came back as ${JSON.stringify(job.output)}`)
  }
}

function told({ id, status, error, attempts }: JobView): string {
  return `${status} (${error?.reason}: ${error?.message.slice(0, 80)}) after ${attempts.length} attempts (job ${id})`
}
