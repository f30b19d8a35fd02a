import { createBullBoard } from '@bull-board/api'
import { FastifyAdapter } from '@bull-board/fastify'
import { readQueues } from '@jobyard/db/queue-rows'
import type { Sql } from '@jobyard/db/connect'
import type { Catalogue } from '@jobyard/queues/catalogue'
import type { FastifyBaseLogger } from 'fastify'
import type { JobActions } from '../job-actions.ts'
import { problemLog, problemOf } from '../plugins/errors.ts'
import type { Problem } from '../problem.ts'
import type { ScheduleActions } from '../schedule-actions.ts'
import { RecordAdapter } from './adapter.ts'
import { Overview } from './overview.ts'

export interface BoardOptions {
  readonly sql: Sql
  readonly actions: JobActions
  readonly schedules: ScheduleActions
  readonly catalogue: Catalogue
  /** Whose jobs are shown. */
  readonly tenant: string
  readonly log: FastifyBaseLogger
}

type BoardSetup = Parameters<typeof createBullBoard>[0]
type BeforeHook = NonNullable<NonNullable<NonNullable<BoardSetup['options']>['handlerHooks']>['before']>
type ErrorAnswer = ReturnType<Parameters<FastifyAdapter['setErrorHandler']>[0]>

/** The calls that change something and mean what the API's calls mean; every other one is refused. */
const allowedChanges: ReadonlySet<string> = new Set([
  '/api/queues/pause',
  '/api/queues/resume',
  '/api/queues/:queueName/pause',
  '/api/queues/:queueName/resume',
  '/api/queues/:queueName/:jobId/retry',
  '/api/queues/:queueName/:jobId/promote',
  '/api/queues/:queueName/:jobId/clean',
  '/api/queues/:queueName/job-schedulers/:schedulerId',
  '/api/queues/:queueName/job-schedulers/:schedulerId/remove',
  '/api/queues/:queueName/job-schedulers/:schedulerId/run',
])

/** @returns Bull Board on the record, to be registered below `basePath`. */
export function createBoard(options: BoardOptions, basePath: string): FastifyAdapter {
  const server = new FastifyAdapter()
  const adapterOf = adapterMaker(options)
  const board = createBullBoard({
    queues: options.catalogue.queues.map(adapterOf),
    serverAdapter: server,
    options: {
      uiConfig: {
        boardTitle: 'Jobyard',
        hideDocsLink: true,
        hideRedisDetails: true,
        showMetrics: true,
        locale: { lng: 'en-US' },
        miscLinks: [{ text: 'API', url: '/docs' }],
      },
      handlerHooks: { before: refuseOr(() => addNewQueues()) },
    },
  })
  const shown = new Set(options.catalogue.queues)
  const addNewQueues = async () => {
    for (const { name } of await readQueues(options.sql)) {
      if (!shown.has(name)) board.addQueue(adapterOf(name))
      shown.add(name)
    }
  }
  server.setBasePath(basePath)
  const logProblem = problemLog(options.log)
  server.setErrorHandler((error) => answerError(error, logProblem))
  return server
}

function adapterMaker({ sql, actions, schedules, catalogue, tenant }: BoardOptions): (queue: string) => RecordAdapter {
  const overview = new Overview(sql, tenant)
  return (queue) => {
    const types = catalogue.contracts.filter((contract) => contract.queue === queue).map((contract) => contract.type)
    const runs = types.length > 0 ? `Runs ${types.join(', ')}.` : 'No type of this installation uses it.'
    const description = `${runs} Counts stop at 10,000.`
    return new RecordAdapter({ queue, description, tenant, sql, actions, schedules, overview })
  }
}

/** Lets reads and allowed changes through; a queue that was entered since the start appears with the next list. */
function refuseOr(onList: () => Promise<void>): BeforeHook {
  return async ({ method, route }) => {
    if (method !== 'get' && !allowedChanges.has(route)) {
      return {
        allow: false,
        status: 405,
        message: refusals[route] ?? 'The board only redrives, promotes, cancels, pauses and resumes.',
      }
    }
    if (route === '/api/queues') await onList()
    return { allow: true }
  }
}

const refusals: Readonly<Record<string, string>> = {
  '/api/queues/:queueName/add': 'Submit jobs through POST /v1/jobs, which checks their input.',
  '/api/queues/:queueName/retry/:queueStatus':
    'Redrive many jobs through POST /v1/jobs/redrive, which makes none of them twice, or one by one.',
  '/api/queues/:queueName/promote': 'Promote jobs one by one.',
  '/api/queues/:queueName/empty': 'A queue is not emptied at once. Cancel its jobs one by one.',
  '/api/queues/:queueName/obliterate': 'A queue is part of the record and is not deleted.',
  '/api/queues/:queueName/clean/:queueStatus': 'Jobs are deleted by their retention only.',
  '/api/queues/:queueName/concurrency': 'Concurrency is set per worker process, by WORKER_CONCURRENCY.',
  '/api/queues/:queueName/:jobId/update-data': 'The input of a job is never changed. Submit another job.',
}

function answerError(error: Error, logProblem: ReturnType<typeof problemLog>): ErrorAnswer {
  const problem = problemOf(error)
  logProblem(problem, error)
  return {
    status: problem.status as NonNullable<ErrorAnswer['status']>,
    body: { error: { key: headlineOf(problem) }, message: problem.message, code: problem.kind },
  }
}

function headlineOf({ kind }: Problem) {
  return kind === 'not-found' ? 'ERRORS.JOB_NOT_FOUND' : 'ERRORS.INTERNAL_SERVER_ERROR'
}
