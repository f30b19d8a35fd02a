import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { parseArgs, styleText } from 'node:util'
import { connect } from '@jobyard/db/connect'
import { runProcess } from '@jobyard/queues/process'
import type { StreamedEvent } from './demo/event-stream.ts'
import { watchInterrupts } from './demo/interrupts.ts'
import { startPlatform } from './demo/platform.ts'
import { showProgress } from './demo/progress.ts'
import { formatEvents, formatFindings, formatRepositories, formatSummaries, summarize } from './demo/report.ts'
import { runJobs, type RunResult } from './demo/run.ts'
import { setScene, type Scene } from './demo/scene.ts'
import type { Installation } from './installation.ts'

/** Exit code of a run that the user broke off, as shells have it: 128 + SIGINT. */
const interrupted = 130
/** While progress is shown, lines go through it. */
let sayBeside: ((line: string) => void) | undefined

await runProcess(async () => {
  const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
  const startedAt = performance.now()
  const broken = new AbortController()
  let installation: Installation | undefined
  watchInterrupts((times) => {
    if (times > 1) return installation?.hurry()
    broken.abort(new Error('Broken off'))
    say(installation ? 'Stopping: running jobs finish first. Once more Ctrl-C hands them back at once' : 'Stopping')
  })

  const runId = randomBytes(4).toString('hex')
  say(`Run ${runId}: preparing a photo, a mail server, a receiver of requests and one of webhooks`)
  const scene = await setScene(runId)
  let exitCode = interrupted
  try {
    installation = await startPlatform({ environment: { ...process.env, ...scene.environment }, onProgress: say })
    announce(installation)
    exitCode = Number(!(await present(installation, scene, runId, broken.signal)))
    if (values.keep) await keep(installation, broken.signal)
  } catch (error) {
    if (!broken.signal.aborted) throw error
  } finally {
    await installation?.stop()
    scene.close()
  }
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  say(`Stopped after ${seconds} s. What the run left is in ${installation?.home.folder}`)
  process.exit(exitCode)
})

/** Runs the jobs and prints what came of them. @returns whether client and database agree. */
async function present(installation: Installation, scene: Scene, runId: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted()
  const db = connect(installation.databaseUrl, { applicationName: 'jobyard-demo', max: 2 })
  const totals = new Map([...Map.groupBy(scene.plan, ({ type }) => type)].map(([type, jobs]) => [type, jobs.length]))
  const progress = showProgress(totals)
  sayBeside = (line) => progress.say(line)
  try {
    const client = { url: installation.url, key: installation.home.adminKey, tag: `demo-${runId}`, signal }
    const { plan, receiver, webhookReceiver, mailbox } = scene
    const world = { receiver, webhookReceiver, mailbox }
    const result = await runJobs({ plan, client, sql: db.sql, ...world, progress, onEvent: sayFailure }).finally(() => {
      progress.stop()
      sayBeside = undefined
    })
    print(report(result))
    return result.findings.every(({ disagreements }) => disagreements.length === 0)
  } finally {
    await db.close()
  }
}

function sayFailure({ position, type, jobType, reason }: StreamedEvent): void {
  if (type === 'job.failed') say(`Event ${position} on the stream: ${type}, ${jobType}, ${reason}`)
}

function report({ jobs, submitted, activity, totalActivity, webhooks, streamed, findings }: RunResult): string[] {
  const perSecond = Math.round((submitted.accepted.size * 1_000) / submitted.tookMs)
  return [
    '',
    ...formatSummaries(summarize(jobs)),
    styleText(
      'dim',
      `Times from created to finished, with waits between attempts. Posted: ${perSecond} jobs/s, one a request.`,
    ),
    '',
    ...formatRepositories(activity, totalActivity),
    '',
    ...formatEvents(webhooks, streamed),
    '',
    ...formatFindings(findings),
    '',
  ]
}

function announce({ url, home }: Installation): void {
  print([
    '',
    `${styleText('bold', 'Bull Board')}  ${url}/board   any user name, password: the key in ${home.folder}/admin-key`,
    '',
  ])
}

async function keep({ url, home }: Installation, signal: AbortSignal): Promise<void> {
  print([`${styleText('bold', 'Still up:')} ${url}/v1 with the key in ${home.folder}/admin-key. Ctrl-C stops it.`])
  if (!signal.aborted) await once(signal, 'abort')
}

function say(line: string): void {
  const text = `${styleText('dim', '·')} ${line}`
  if (sayBeside) sayBeside(text)
  else print([text])
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}
