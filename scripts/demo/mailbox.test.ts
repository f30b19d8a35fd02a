import { expect, it } from 'vitest'
import { parseMail } from './mailbox.ts'

it('takes a message apart: folded fields are joined, names are in lower case, blank lines of the text stay', () => {
  const { headers, text } = parseMail(
    'To: ada@example.com\r\nSubject: A long\r\n line: two\r\n\r\nHello,\r\n\r\nAda.\r\n',
  )
  expect([...headers]).toEqual([
    ['to', 'ada@example.com'],
    ['subject', 'A long line: two'],
  ])
  expect(text).toBe('Hello,\n\nAda.')
})
