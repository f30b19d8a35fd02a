import { createHash } from 'node:crypto'
import { connecting } from './postgres-wire.ts'
import { nameOf, type RedisCall } from './redis-wire.ts'

/** Begins the name of what no rule knows; a test sees to it that no life of a job sends such a thing. */
export const unknownLabel = 'unknown'

function unknown(text: string): string {
  return `${unknownLabel} ${text.replaceAll(/\s+/g, ' ').slice(0, 80)}`
}

/** Statements of the platform, of BullMQ, and of a handler of ours. The first rule that matches counts. */
const statements: readonly (readonly [RegExp, string])[] = [
  [new RegExp(`^${connecting}$`), 'connect'],
  [/^\s*(begin|commit|rollback)\b/i, '$1'],
  [/^select (1|pg_current_xact_id\(\))$/, 'ping'],
  [/pg_catalog\.pg_type/, 'read-types'],
  [/insert into effects/, 'effect'],
  // db/sequence.ts, behind.ts, deliveries.ts
  [/pg_try_advisory_lock/, 'lock-sequence'],
  [/pg_advisory_unlock/, 'unlock-sequence'],
  [/update stream s set head/, 'place-events'],
  [/pg_notify/, 'notify'],
  [/^listen /i, 'listen'],
  [/as since_replay_ms/, 'find-behind'],
  [/from wishes/, 'read-wishes'],
  [/select id, secret from endpoints/, 'read-newest-secret'],
  [/status in \('queued', 'running'\)/, 'find-in-flight'],
  [/from endpoints e join step/, 'take-steps'],
  // db/occurrences.ts
  [/min\(due_at\) as due_at from schedules/, 'find-due'],
  [/delete from occurrences/, 'prune-occurrences'],
  // db/intake.ts, insert-once.ts, redrive.ts, search.ts, jobs.ts, cancel.ts, queue-rows.ts
  [/set redriven_as =/, 'redrive'],
  [/insert into jobs \(/, 'intake'],
  [/pg_advisory_xact_lock/, 'lock-keys'],
  [/set_config\('enable_seqscan'/, 'plan-by-index'],
  [/as holder cross join lateral/, 'find-holders'],
  [/insert into deduplications/, 'hold-keys'],
  [/insert into idempotency_keys/, 'enter-keys'],
  [/update idempotency_keys/, 'keep-answers'],
  [/delete from idempotency_keys where tenant/, 'forget-key'],
  [/deduplication_key as key from jobs/, 'read-deduplication-keys'],
  [/status in \('failed', 'cancelled'\)\s+and/, 'lock-failed'],
  [/idempotency_keys k using/, 'read-keys'],
  [/coalesce\(j\.cancel_requested_at/, 'cancel'],
  [/^\s*select id, tenant, type, queue, status/, 'read-job'],
  [/error, worker_id, started_at, finished_at from attempts/, 'read-attempts'],
  [/select id from jobs where id = any/, 'find-finished'],
  [/as seen cross join lateral/, 'list-jobs'],
  [/from each where type is not null/, 'list-types'],
  [/insert into queues/, 'ensure-queues'],
  [/update queues set paused/, 'set-paused'],
  [/as oldest_ready_ms/, 'count-queues'],
  [/select name, paused from queues/, 'read-queues'],
  // db/claim.ts, settle.ts, lock-runs.ts, progress.ts, worker-rows.ts
  [/insert into claims/, 'claim'],
  [/attempts_made = j\.attempts_made \+/, 'settle'],
  [/set_config\('idle_in_transaction/, 'limit-idling'],
  [/j\.epoch = run\.epoch/, 'lock-runs'],
  [/with report as/, 'report-progress'],
  [/insert into workers/, 'register'],
  [/update workers set beat/, 'beat'],
  [/as cancel_requested from/, 'read-owned-runs'],
  [/beat::text from workers/, 'read-beats'],
  [/delete from workers where id = \S+ and beat/, 'reap'],
  [/delete from workers/, 'unregister'],
  // db/requeue.ts, promote.ts, sweep.ts, live.ts, waiting.ts, prune.ts
  [/limit 1000 for update of j skip locked/, 'requeue-orphans'],
  [/with candidate as/, 'hand-back'],
  [/with due as/, 'promote'],
  [/a\.suspect\s+and not exists/, 'find-suspect'],
  [/ as stamp\b/, 'probe-targets'],
  [/with lost as/, 'sweep'],
  [/delete from arrivals/, 'delete-arrivals'],
  [/as waiting where tenant/, 'count-waiting'],
  [/from arrivals a where a\.queue/, 'find-arrivals'],
  [/delete from claims/, 'delete-claims'],
  // db/api-keys.ts, audit-log.ts
  [/from api_keys where hash/, 'find-api-keys'],
  [/update api_keys set last_used_at/, 'note-keys-used'],
  [/insert into audit_log/, 'note-asked'],
  [/update audit_log set outcome/, 'note-outcome'],
  [/delete from audit_log/, 'prune-audit-log'],
  [/delete from idempotency_keys/, 'prune-keys'],
  [/delete from jobs/, 'prune-jobs'],
  [/delete from outbox/, 'prune-events'],
  [/clock_timestamp\(\)\) \* 1000\)::float8 as ms/, 'read-clock'],
  [/xact_start < statement_timestamp/, 'find-open-transactions'],
  // BullMQ
  [/locked_until_ms > latest\.ms/, 'forget-wrong-clocks'],
  [/declare living job/, 'shed-dead-tickets'],
  [/MAX\(version\)/, 'check-schema'],
  [/\badd_jobs_bulk\(/, 'add-bulk'],
  [/\badd_job\(/, 'add'],
  [/\bmove_to_active\(/, 'fetch'],
  [/\bmove_to_completed_fetch\(/, 'acknowledge-and-fetch'],
  [/\bmove_to_completed\(/, 'acknowledge'],
  [/\bmove_stalled_jobs_to_wait\(/, 'find-stalled'],
  [/\bnext_signal\(/, 'next-signal'],
  [/\bnext_delay\(/, 'next-delay'],
  [/\bpause\(/, 'pause'],
  [/set_config\('application_name'/, 'name-connection'],
  [/^(?:--.*\n)*LISTEN/, 'listen'],
  [/state = 'waiting'/, 'has-waiting'],
  [/INSERT INTO meta/, 'write-meta'],
  [/DELETE FROM meta/, 'delete-meta'],
  [/FROM meta\b/, 'read-meta'],
]

/** @returns the short name of a statement. */
export function labelOfStatement(text: string): string {
  for (const [pattern, label] of statements) {
    const found = pattern.exec(text)
    if (found) return label.replace('$1', found[1]?.toLowerCase() ?? '')
  }
  return unknown(text)
}

/** BullMQ's scripts, by what they say of themselves. */
const scripts: readonly (readonly [RegExp, string])[] = [
  [/^--\[\[\s+Adds a job to the queue/, 'add'],
  [/^--\[\[\s+Adds a prioritized job/, 'add-prioritized'],
  [/^--\[\[\s+Move next job/, 'fetch'],
  [/^--\[\[\s+Move job from active to a finished/, 'acknowledge'],
  [/^--\[\[\s+Move stalled jobs/, 'find-stalled'],
  [/^--\[\[\s+Pauses or resumes/, 'pause'],
  [/^--\[\[\s+Takes tokens from a bucket/, 'take-tokens'],
]

/** Knows the scripts of one Redis, from when it was told them. */
export class CommandLabels {
  readonly #scripts = new Map<string, string>()

  /** @returns the short name of a call. */
  labelOf(call: RedisCall): string {
    const [first = [], second = []] = call
    return call.length > 1 ? `${this.#labelOf(second)}-bulk` : this.#labelOf(first)
  }

  #labelOf(command: readonly Buffer[]): string {
    const [, argument = Buffer.alloc(0), text = argument] = command
    switch (nameOf(command)) {
      case 'EVALSHA':
        return this.#scripts.get(argument.toString()) ?? 'script'
      case 'EVAL':
        return this.#learn(argument)
      case 'SCRIPT':
        return argument.toString().toUpperCase() === 'LOAD' ? `load-${this.#learn(text)}` : 'find-scripts'
      case 'BZPOPMIN':
        return 'await-ticket'
      default:
        return nameOf(command).toLowerCase()
    }
  }

  #learn(script: Buffer): string {
    const text = script.toString()
    const label = scripts.find(([pattern]) => pattern.test(text))?.[1] ?? unknown(text)
    this.#scripts.set(createHash('sha1').update(script).digest('hex'), label)
    return label
  }
}
