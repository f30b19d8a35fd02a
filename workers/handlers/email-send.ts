import { emailSend as contract } from '@jobyard/queues/contracts/email-send'
import { PermanentError } from '@jobyard/queues/errors'
import { createTransport } from 'nodemailer'
import { defineHandler, type JobHandler } from '../define-handler.ts'

const fallbackSender = 'jobyard@localhost'

/**
 * Sends mail over one pool of connections for the whole process.
 *
 * Replies 5xx are permanent (reason `smtp_refused`), except 503, which complains of the session and not of the message;
 * everything else is worth another attempt. Without a mail server every job fails with reason `smtp_not_configured`.
 *
 * @param smtpUrl `smtp://` or `smtps://` with user and password, or undefined where mail is not set up.
 * @returns the handler; `close` ends its idle connections.
 */
export function emailSend({ smtpUrl }: { smtpUrl: string | undefined }): JobHandler & { close(): void } {
  const transport = smtpUrl === undefined ? undefined : openTransport(smtpUrl)
  const sender = smtpUrl === undefined ? fallbackSender : senderOf(smtpUrl)
  const handler = defineHandler(contract, async ({ to, from, ...content }, ctx) => {
    if (!transport)
      throw new PermanentError('No mail server is configured: set SMTP_URL for the workers', 'smtp_not_configured')
    const author = parseMailbox(from ?? sender)
    const message = {
      ...content,
      from: author,
      to: { name: '', address: to },
      messageId: `<${ctx.jobId}@${author.address.split('@').at(-1)}>`,
      signal: ctx.signal,
    }
    const { messageId, response } = await transport.sendMail(message).catch((error: unknown) => {
      ctx.signal.throwIfAborted()
      throw asJobFailure(error)
    })
    return { messageId, response }
  })
  return { ...handler, close: () => transport?.close() }
}

/** Time-outs in milliseconds, far below the type's own, so that a dead mail server is told from a slow job. */
function openTransport(smtpUrl: string) {
  return createTransport({
    url: smtpUrl,
    pool: true,
    maxConnections: 5,
    maxRequeues: 1,
    dnsTimeout: 10_000,
    connectionTimeout: 10_000,
    greetingTimeout: 10_000,
    socketTimeout: 30_000,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
}

function senderOf(smtpUrl: string): string {
  const user = decodeURIComponent(new URL(smtpUrl).username)
  return /^[^@\s<>]+@[^@\s<>]+$/.test(user) ? user : fallbackSender
}

/** Takes `Name <address>` apart, so that nothing in the name is read as a further address. */
function parseMailbox(text: string): { name: string; address: string } {
  const [, name = '', address = text] = /^(.*) <(.*)>$/s.exec(text) ?? []
  return { name, address }
}

function asJobFailure(error: unknown): unknown {
  if (!(error instanceof Error) || !('responseCode' in error)) return error
  const reply = Number(error.responseCode)
  return reply >= 500 && reply !== 503 ? new PermanentError(error.message, 'smtp_refused', { cause: error }) : error
}
