import { text } from 'node:stream/consumers'
import { SMTPServer, type SMTPServerAddress, type SMTPServerDataStream } from 'smtp-server'
import { listenLocally } from './local-server.ts'

/** A message as it came over SMTP. */
export interface ReceivedMail {
  /** Recipients of the envelope. */
  readonly recipients: readonly string[]
  /** Header fields by their names in lower case, unfolded. */
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
}

/** A mail server of the demo's own, which keeps what it gets. */
export interface Mailbox {
  readonly smtpUrl: string
  readonly mails: readonly ReceivedMail[]
  close(): void
}

/** Starts the mail server on a free port. Each address of `greylisted` is turned away once: "451 try again later". */
export async function startMailbox(greylisted: readonly string[]): Promise<Mailbox> {
  const mails: ReceivedMail[] = []
  const stillGreylisted = new Set(greylisted)
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    onRcptTo: ({ address }, _session, done) =>
      done(
        stillGreylisted.delete(address)
          ? Object.assign(new Error('Greylisted, try again later'), { responseCode: 451 })
          : null,
      ),
    onData: (stream, { envelope }, done) => {
      receive(stream, envelope.rcptTo).then(
        (mail) => {
          mails.push(mail)
          done()
        },
        (error: Error) => done(error),
      )
    },
  })
  server.on('error', () => {})
  const port = await listenLocally(server)
  return { smtpUrl: `smtp://127.0.0.1:${port}`, mails, close: () => server.close() }
}

async function receive(stream: SMTPServerDataStream, recipients: readonly SMTPServerAddress[]): Promise<ReceivedMail> {
  return { recipients: recipients.map(({ address }) => address), ...parseMail(await text(stream)) }
}

/** Splits a message of one plain part into header fields and text (RFC 5322, section 2.2). */
export function parseMail(source: string): Omit<ReceivedMail, 'recipients'> {
  const [head = '', ...body] = source.replaceAll('\r\n', '\n').split('\n\n')
  const fields = head.replaceAll(/\n[ \t]+/g, ' ').split('\n')
  const headers = new Map(
    fields.map((field) => {
      const colon = field.indexOf(':')
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()]
    }),
  )
  return { headers, text: body.join('\n\n').trim() }
}
