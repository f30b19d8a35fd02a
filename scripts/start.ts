import { styleText } from 'node:util'
import { runProcess } from '@jobyard/queues/process'
import { startInstallation, type Installation } from './installation.ts'

await runProcess(async () => {
  let stopping = false
  let installation: Installation | undefined
  const onSignal = () => {
    if (stopping) return installation?.hurry()
    stopping = true
    if (installation) void shutDown(installation)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  installation = await startInstallation({ environment: process.env, onProgress: say })
  if (stopping) return shutDown(installation)
  process.stdout.write(welcome(installation))
})

async function shutDown(installation: Installation): Promise<void> {
  say('Stopping: running jobs finish first. Once more Ctrl-C hands them back at once.')
  await installation.stop()
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
