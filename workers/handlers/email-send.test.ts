import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { handlerContext } from '@jobyard/testing/handler-context'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterEach, describe, expect, it } from 'vitest'
import { emailSend } from './email-send.ts'

interface Mail {
  from: string
  to: string[]
  source: string
}

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

/** A mail server that keeps what it accepts, and a handler that sends to it. */
async function mailServer(options: SMTPServerOptions = {}, credentials = '') {
  const mails: Mail[] = []
  let connections = 0
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    disableReverseLookup: true,
    closeTimeout: 1,
    onConnect(_session, callback) {
      connections++
      callback()
    },
    onData(stream, { envelope: { mailFrom, rcptTo } }, callback) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const from = mailFrom === false ? '' : mailFrom.address
        mails.push({ from, to: rcptTo.map(({ address }) => address), source: Buffer.concat(chunks).toString() })
        callback()
      })
    },
    ...options,
  })
  server.on('error', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise((resolve) => server.close(() => resolve(undefined))))
  const { port } = server.server.address() as AddressInfo
  const handler = emailSend({ smtpUrl: `smtp://${credentials}127.0.0.1:${port}` })
  closers.push(() => handler.close())
  return { server: server.server, mails, handler, connectionCount: () => connections }
}

const input = { to: 'ada@example.com', subject: 'Grüße', text: 'Hello\r\n.\r\nworld' }
const jobId = '01911111-1111-7111-8111-111111111111'

function reply(responseCode: number) {
  return Object.assign(new Error(`replied ${responseCode}`), { responseCode })
}

describe('email.send', () => {
  it('delivers the message to its one recipient', async () => {
    const { handler, mails } = await mailServer()
    const output = await handler.run(
      { ...input, html: '<b>Hello</b>', from: 'Ada, of Shop <shop@example.org>' },
      handlerContext(),
    )
    expect(handler.contract.output.parse(output)).toMatchObject({ response: expect.stringMatching(/^250/) })
    expect(mails).toHaveLength(1)
    expect(mails[0]).toMatchObject({ from: 'shop@example.org', to: ['ada@example.com'] })
    expect(mails[0]?.source).toContain('From: "Ada, of Shop" <shop@example.org>')
    expect(mails[0]?.source).toContain('To: ada@example.com')
    expect(mails[0]?.source).toContain('<b>Hello</b>')
  })

  it('gives every attempt of a job the same Message-ID, and another job another', async () => {
    const { handler, mails } = await mailServer()
    await handler.run(input, handlerContext({ jobId, attempt: 1 }))
    await handler.run(input, handlerContext({ jobId, attempt: 2 }))
    await handler.run(input, handlerContext())
    const ids = mails.map(({ source }) => /^Message-ID: (.*)\r$/m.exec(source)?.[1])
    expect(ids.slice(0, 2)).toEqual([`<${jobId}@localhost>`, `<${jobId}@localhost>`])
    expect(ids[2]).not.toBe(ids[0])
  })

  it('sends one message after the other over one connection', async () => {
    const { handler, mails, connectionCount } = await mailServer()
    for (let count = 0; count < 3; count++) await handler.run(input, handlerContext())
    expect([mails.length, connectionCount()]).toEqual([3, 1])
  })

  it('writes as the user of SMTP_URL if that is an address', async () => {
    const { handler, mails } = await mailServer(
      { authMethods: ['PLAIN'], onAuth: (_auth, _session, callback) => callback(null, { user: 'x' }) },
      'team%40example.org:secret@',
    )
    await handler.run(input, handlerContext())
    expect(mails[0]?.from).toBe('team@example.org')
  })

  it('lets no input write a header or name a further recipient', async () => {
    const { handler, mails } = await mailServer()
    const evil = {
      to: 'ada@example.com',
      subject: 'x\r\nBcc: eve@example.com',
      from: 'A\r\nCc: e@b.example <a@b.example>',
      text: '',
    }
    await handler.run(evil, handlerContext())
    expect(mails[0]?.to).toEqual(['ada@example.com'])
    expect(mails[0]?.source).not.toMatch(/^(b?cc):/im)
  })

  it('fails for good without a mail server, and says what to set', async () => {
    await expect(emailSend({ smtpUrl: undefined }).run(input, handlerContext())).rejects.toMatchObject({
      name: 'PermanentError',
      reason: 'smtp_not_configured',
      message: expect.stringContaining('SMTP_URL'),
    })
  })

  it.each<[string, SMTPServerOptions]>([
    ['the recipient', { onRcptTo: (_address, _session, callback) => callback(reply(550)) }],
    ['the sender', { onMailFrom: (_address, _session, callback) => callback(reply(553)) }],
    [
      'the content',
      { onData: (stream, _session, callback) => void stream.resume().on('end', () => callback(reply(554))) },
    ],
  ])('fails for good when the server refuses %s with 5xx', async (_what, options) => {
    const { handler } = await mailServer(options)
    await expect(handler.run(input, handlerContext())).rejects.toMatchObject({
      name: 'PermanentError',
      reason: 'smtp_refused',
      message: expect.stringMatching(/replied 55\d/),
    })
  })

  it.each<[string, SMTPServerOptions]>([
    ['450 to the recipient', { onRcptTo: (_address, _session, callback) => callback(reply(450)) }],
    ['421 to the greeting', { onConnect: (_session, callback) => callback(reply(421)) }],
    [
      '452 to the content',
      { onData: (stream, _session, callback) => void stream.resume().on('end', () => callback(reply(452))) },
    ],
    ['503 to the sender', { onMailFrom: (_address, _session, callback) => callback(reply(503)) }],
  ])('is worth another attempt after %s', async (_reply, options) => {
    const { handler } = await mailServer(options)
    const failure = await handler.run(input, handlerContext()).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(Error)
    expect(failure).not.toMatchObject({ name: 'PermanentError' })
  })

  it('is worth another attempt when no server listens, or it hangs up', async () => {
    const { handler, server } = await mailServer({ onMailFrom: (_address, session) => void session })
    server.on('connection', (socket: Socket) => socket.destroy())
    await expect(handler.run(input, handlerContext())).rejects.not.toMatchObject({ name: 'PermanentError' })
    const nobody = emailSend({ smtpUrl: 'smtp://127.0.0.1:1' })
    await expect(nobody.run(input, handlerContext())).rejects.toThrow('ECONNREFUSED')
    nobody.close()
  })

  it('ends with the reason of its signal, also while the server keeps it waiting', async () => {
    const stop = new AbortController()
    const { handler, mails, server } = await mailServer({ onMailFrom: () => stop.abort(new Error('cancelled')) })
    const hungUp = once(server, 'connection').then(
      ([socket]: Socket[]) => new Promise((resolve) => socket?.on('close', resolve)),
    )
    await expect(handler.run(input, handlerContext({ signal: stop.signal }))).rejects.toThrow('cancelled')
    await hungUp
    await expect(handler.run(input, handlerContext({ signal: stop.signal }))).rejects.toThrow('cancelled')
    expect(mails).toEqual([])
  })
})
