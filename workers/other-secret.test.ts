import { SecretBox } from '@jobyard/queues/secret-box'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { addEndpoint, secretOfTests } from '../testing/endpoints.ts'
import { openRecord } from '../testing/record.ts'
import { tellOfOtherSecret } from './other-secret.ts'

it('Workers say at their start that endpoints were made under another JOBYARD_SECRET, and nothing else', async () => {
  const record = await openRecord()
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  const start = (secret: string) => tellOfOtherSecret(record.sql, new SecretBox(secret), log)
  await start('another')
  await addEndpoint(record.sql)
  await start(secretOfTests)
  expect(lines).toEqual([])
  await start('another')
  expect(lines).toEqual([expect.stringContaining('bring back the value of before')])
  await record.close()
})
