import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const folder = join(
  dirname(createRequire(import.meta.url).resolve('@bull-board/ui/package.json')),
  'dist/static/locales',
)

interface Messages {
  readonly [key: string]: string | Messages
}

/** What Bull Board says otherwise than we do: our words for statuses, and what the buttons really do. */
const ourWords: Messages = {
  QUEUE: {
    STATUS: {
      ACTIVE: 'Running',
      WAITING: 'Queued',
      DELAYED: 'Scheduled, retrying',
      FAILED: 'Failed, cancelled',
    },
    SCHEDULERS_LINK: 'Schedules ({{count}})',
    INFO: { TOTAL_JOBS: 'Total jobs (each count stops at 10,000)' },
    WORKERS: {
      TITLE: 'Worker processes',
      CONNECTED: 'started {{since}}',
      EMPTY: 'No worker process serves this queue.',
      EMPTY_HINT: 'Check that one runs, uses the same database, and has this queue among its WORKER_QUEUES.',
      NONE_TOOLTIP: 'No worker process serves this queue',
    },
  },
  JOB: {
    ADDED_AT: 'Accepted at',
    DELAYED_FOR: 'after',
    PROCESS_STARTED_AT: 'Last attempt started at',
    PROCESSED_BY: 'on {{processedBy}}',
    FAILED_AT: 'Ended at',
    FINISHED_AT: 'Ended at',
    TABS: { DATA: 'Input, output', ERROR: 'Errors' },
    DIAGNOSTICS: { STALLED: 'crashed {{times}}×' },
    ACTIONS: {
      CLEAN: 'Cancel',
      RETRY: 'Redrive',
      CONFIRM: {
        CLEAN: 'Cancel this job? It stays in the record as cancelled.',
        RETRY: 'Redrive this job? A new job with the same input is queued; this one stays as it is.',
        PROMOTE: 'Run this job now instead of at its time?',
      },
    },
  },
  MENU: { SCHEDULERS: 'Schedules' },
  SCHEDULERS: {
    TITLE: 'Schedules',
    EMPTY: 'There are no schedules. They are made by PUT /v1/schedules/{name}, or by a schedules file.',
    TEMPLATE: 'Input',
    COLUMNS: { SCHEDULER: 'Name and type', NEXT_RUN: 'Next occurrence', LAST_RUN: 'Last run accepted' },
    ACTIONS: { REMOVE: 'Pause or resume', RUN: 'Run now' },
    EDIT: {
      TITLE: 'When {{id}} fires',
      DESCRIPTION: 'Only the rule changes. Type, input and policies stay as they are.',
      OVERWRITE_NOTE: 'Who puts this schedule again, as at a deployment, overwrites what is set here.',
    },
    CONFIRM: {
      REMOVE: 'Pause "{{id}}"? If it is paused it goes on with its next occurrence instead.',
      RUN: 'Run the job of "{{id}}" now? Its next occurrence stays where it is.',
    },
    TOAST: {
      REMOVE_PENDING: 'Pausing or resuming {{id}}',
      REMOVE_DONE: '{{id}} is paused, or goes on if it was',
      RUN_PENDING: 'Running {{id}}',
      RUN_DONE: 'A job of {{id}} was made',
    },
  },
  CONFIRM: { CONFIRM_BTN: 'Yes', CANCEL_BTN: 'No' },
  METRICS: {
    TITLE: 'Throughput (jobs / min, counts stop at 10,000)',
    EMPTY: 'No job of this queue has ended in the last hour.',
  },
  ERRORS: {
    INTERNAL_SERVER_ERROR: 'That did not work',
    FORBIDDEN: 'The board does not do that',
  },
}

/**
 * Reads Bull Board's messages in a language, with ours in place of those that would be wrong here.
 *
 * @returns JSON text, or undefined when there is no such language.
 */
export async function readMessages(language: string): Promise<string | undefined> {
  const languages = await readdir(folder)
  if (!languages.includes(language)) return undefined
  const theirs = JSON.parse(await readFile(join(folder, language, 'messages.json'), 'utf8')) as Messages
  return JSON.stringify(merge(theirs, ourWords))
}

function merge(theirs: Messages, ours: Messages): Messages {
  const merged = Object.entries(ours).map(([key, ourValue]) => {
    const theirValue = theirs[key]
    const both = typeof ourValue === 'object' && typeof theirValue === 'object'
    return [key, both ? merge(theirValue, ourValue) : ourValue] as const
  })
  return { ...theirs, ...Object.fromEntries(merged) }
}
