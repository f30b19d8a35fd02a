import { answerParent } from '../child.ts'
import { expectCount, type Target, type Worker } from '../process/contestant.ts'
import { jobyard, jobyardType } from '../process/jobyard.ts'
import { withPostgres } from '../servers.ts'
import type { BacklogRequest } from './backlog.ts'

const concurrency = 1_000
/** Share of the jobs that are done before the clock runs. */
const warmUpShare = 0.1

/**
 * Does the first of the jobs that wait.
 *
 * @returns jobs per second, from the end of the warm-up until the last of these jobs was handled.
 */
async function takeFirst(request: BacklogRequest): Promise<number> {
  const { target, take } = request
  const allHandled = Promise.withResolvers<void>()
  let handled = 0
  let warm: { readonly at: number; readonly handled: number } | undefined
  let done: { readonly at: number; readonly handled: number } | undefined
  const worker: Worker = await open(request).start(target, (jobs) => {
    handled += jobs
    if (handled >= take * warmUpShare) warm ??= { at: performance.now(), handled }
    if (handled >= take) {
      done ??= { at: performance.now(), handled }
      allHandled.resolve()
    }
  })
  await allHandled.promise
  await worker.stop()
  await verify(target, handled)
  if (!warm || !done) throw new Error('There were no jobs')
  return ((done.handled - warm.handled) * 1_000) / (done.at - warm.at)
}

/** @throws Error when a job that was handled is not recorded so, or another is gone. */
async function verify({ databaseUrl, jobs }: Target, handled: number): Promise<void> {
  const [row] = await withPostgres(
    databaseUrl,
    (sql) => sql<{ completed: number; told: number; waiting: number }[]>`
      select (count(*) filter (where status = 'completed' and output::text = input::text and attempts_made = 1))::int as completed,
        (count(*) filter (where status = 'queued'))::int as waiting,
        (select count(*)::int from outbox o join jobs j on j.id = o.job_id where j.type = ${jobyardType}) as told
      from jobs where type = ${jobyardType}`,
  )
  expectCount('Jobs completed at the first attempt with their output', row?.completed, handled)
  expectCount('Outbox events', row?.told, handled)
  expectCount('Jobs that wait still', row?.waiting, jobs - handled)
}

function open({ carrier, queue }: BacklogRequest) {
  return jobyard({ carrier, concurrency, ...(queue !== undefined && { queue }) })
}

answerParent<BacklogRequest, number>(async (request) => {
  if (request.take > 0) return takeFirst(request)
  await open(request).load(request.target)
  return request.target.jobs
})
