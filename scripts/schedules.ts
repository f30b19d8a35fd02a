import { parseArgs, styleText } from 'node:util'
import { catalogue } from '@jobyard/queues/catalogue'
import { readConfiguration, readVariable, serverVariables } from '@jobyard/queues/configuration'
import { runProcess } from '@jobyard/queues/process'
import { applySchedulesFile, type FileChange } from '@jobyard/queues/schedules/schedules-file'

const signs: Record<FileChange['change'], string> = {
  created: styleText('green', '+'),
  changed: styleText('yellow', '~'),
  removed: styleText('red', '-'),
  unchanged: ' ',
}

await runProcess(async () => {
  const { values } = parseArgs({ options: { 'dry-run': { type: 'boolean', default: false } } })
  const dryRun = values['dry-run']
  const { DATABASE_URL } = readConfiguration({ DATABASE_URL: serverVariables.DATABASE_URL }, process.env)
  const path = readVariable('JOBYARD_SCHEDULES', process.env)
  if (!path) throw new Error('JOBYARD_SCHEDULES is not set: it names the schedules file')
  const changes = await applySchedulesFile(DATABASE_URL, { path, catalogue, dryRun })
  for (const { name, change } of changes) process.stdout.write(`${signs[change]} ${change.padEnd(9)}  ${name}\n`)
  process.stdout.write(dryRun ? 'Nothing was done: a dry run.\n' : 'Done.\n')
})
