import { styleText } from 'node:util'
import { runProcess } from '@jobyard/queues/process'
import { watchInterrupts } from './demo/interrupts.ts'
import type { Installation } from './installation.ts'

await runProcess(async () => {
  const broken = new AbortController()
  let installation: Installation | undefined
  watchInterrupts((times) => {
    if (times > 1) return installation?.hurry()
    broken.abort(new Error('Broken off'))
    if (installation) void runProcess(async () => shutDown(installation))
    else say('Stopping what has started so far.')
  })
  try {
    const { startInstallation } = await import('./installation.ts')
    installation = await startInstallation({ environment: process.env, onProgress: say, signal: broken.signal })
  } catch (error) {
    if (error !== broken.signal.reason) throw error
    say('Stopped.')
    process.exit(0)
  }
  process.stdout.write(welcome(installation))
})

async function shutDown(installation: Installation | undefined): Promise<void> {
  say('Stopping: running jobs finish first. Once more Ctrl-C hands them back at once.')
  await installation?.stop()
  say('Stopped. Nothing is lost: the next start goes on.')
  process.exit(0)
}

function say(line: string): void {
  process.stdout.write(`${styleText('dim', '·')} ${line}\n`)
}

/** What people need once everything runs; the curl line works when pasted. */
function welcome({ url, home, carrier, embedded, databaseUrl, logFiles }: Installation): string {
  const database = embedded ? `embedded Postgres, data in ${home.folder}/postgres` : withoutPassword(databaseUrl)
  const rows = [
    ['API', `${url}/v1`],
    ['Docs', `${url}/docs`],
    ['Board', `${url}/board   any user name, the admin key as password`],
    ['Record', database],
    ['Tickets', carrier],
    ['Admin key', `${home.adminKey}   also in ${home.folder}/admin-key`],
    ['Logs', logFiles.join('  ')],
  ]
  const table = rows.map(([name, value]) => `  ${styleText('bold', (name as string).padEnd(10))} ${value}`).join('\n')
  return `
${styleText(['bold', 'green'], 'Jobyard is up.')}

${table}

A first job, waiting up to 20 s for its result:

  curl -s ${url}/v1/jobs \\
    -H "Authorization: Bearer $(cat ${home.folder}/admin-key)" \\
    -H 'Content-Type: application/json' -H 'Prefer: wait=20' \\
    -d '{"type":"echo","input":{"value":"hello"}}'

Ctrl-C stops it; jobs wait for the next start.
`
}

function withoutPassword(databaseUrl: string): string {
  const url = new URL(databaseUrl)
  if (url.password) url.password = '…'
  return decodeURIComponent(url.href)
}
