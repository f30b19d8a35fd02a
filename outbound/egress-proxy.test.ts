import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, it, onTestFinished } from 'vitest'
import { parseAllowList } from './address-rules.ts'
import { EgressProxyError } from './egress-proxy.ts'
import { createGuardedFetch, FetchNetworkError, FetchTimeoutError, ForbiddenAddressError } from './guarded-fetch.ts'

const publicAddress = '93.184.215.14'
const timeoutMs = 5_000

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A proxy that leads every tunnel that it allows to one port of this machine. */
async function startProxy(to: number, refuse: (authority: string) => number | undefined = () => undefined) {
  const asked: Pick<IncomingMessage, 'url' | 'headers'>[] = []
  const server = createServer().on('connect', ({ url = '', headers }: IncomingMessage, client: Socket) => {
    asked.push({ url, headers })
    const status = refuse(url)
    if (status !== undefined) return client.end(`HTTP/1.1 ${status} No\r\n\r\n`)
    const receiver = connect(to, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      receiver.pipe(client).pipe(receiver)
    })
    receiver.on('error', () => client.destroy())
  })
  return { port: await listen(server), asked }
}

async function startReceiver(answer: string) {
  const got: { host: string | undefined; body: string }[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      got.push({ host: request.headers.host, body })
      response.end(answer)
    })
  })
  return { port: await listen(server), got }
}

interface Setting {
  readonly proxyPort: number
  readonly credentials?: string
  readonly addresses?: readonly string[]
  readonly allow?: string
}

function fetchBy({ proxyPort, credentials = '', addresses = [publicAddress], allow = 'hook.example' }: Setting) {
  return createGuardedFetch({
    allow: parseAllowList(allow),
    proxy: new URL(`http://${credentials}127.0.0.1:${proxyPort}`),
    timeoutMs,
    maxBodyBytes: 1_000,
    maxHeaderBytes: 8_192,
    lookup: async () => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
  })
}

describe('An egress proxy', () => {
  it('is asked for the address that was judged, and leads to the receiver', async () => {
    const receiver = await startReceiver('taken')
    const proxy = await startProxy(receiver.port)
    const fetch = fetchBy({ proxyPort: proxy.port, credentials: 'job%40yard:p%3Ass@' })

    const answer = await fetch('http://hook.example/in', { method: 'POST', body: 'an event' })

    expect([answer.status, answer.body]).toEqual([200, 'taken'])
    expect(receiver.got).toEqual([{ host: 'hook.example', body: 'an event' }])
    expect(proxy.asked.map(({ url }) => url)).toEqual([`${publicAddress}:80`])
    const [, credentials = ''] = proxy.asked[0]!.headers['proxy-authorization']!.split(' ')
    expect(Buffer.from(credentials, 'base64').toString()).toBe('job@yard:p:ss')
  })

  it('sees nothing but TLS for the name when the URL is https://', async () => {
    const hello = Promise.withResolvers<Buffer>()
    const receiver = createTcpServer((socket) => socket.once('data', hello.resolve).once('data', () => socket.end()))
    const proxy = await startProxy(await listen(receiver))

    const request = fetchBy({ proxyPort: proxy.port })('https://hook.example/secret-path')

    await expect(request).rejects.toThrow(FetchNetworkError)
    const sent = await hello.promise
    expect(sent.subarray(0, 2)).toEqual(Buffer.from([0x16, 0x03])) // a TLS handshake
    expect(sent.includes('hook.example')).toBe(true)
    expect(sent.includes('secret-path')).toBe(false)
    expect(proxy.asked.map(({ url }) => url)).toEqual([`${publicAddress}:443`])
  })

  it('is not asked for private addresses: they are refused, or reached directly where the allow list opens them', async () => {
    const receiver = await startReceiver('direct')
    const proxy = await startProxy(receiver.port)
    const to = (allow: string) => fetchBy({ proxyPort: proxy.port, addresses: ['127.0.0.1'], allow })
    const url = `http://hook.example:${receiver.port}/`

    await expect(to('')(`https://hook.example/`)).rejects.toThrow(ForbiddenAddressError)
    expect(await to('hook.example')(url)).toMatchObject({ status: 200, body: 'direct' })
    expect(proxy.asked).toEqual([])
  })

  it('is asked for the next address when it does not reach the first', async () => {
    const receiver = await startReceiver('taken')
    const proxy = await startProxy(receiver.port, (authority) => (authority.startsWith('[') ? 502 : undefined))
    const fetch = fetchBy({ proxyPort: proxy.port, addresses: ['2606:2800:21f:cb07::1', publicAddress] })

    expect(await fetch('http://hook.example/')).toMatchObject({ body: 'taken' })
    expect(proxy.asked.map(({ url }) => url)).toEqual(['[2606:2800:21f:cb07::1]:80', `${publicAddress}:80`])
  })

  it('that refuses an address speaks of the receiver; one that is away or wants other credentials, of itself', async () => {
    const answering = (status: number) => startProxy(0, () => status)
    const request = async (proxyPort: number) => fetchBy({ proxyPort })('http://hook.example/')

    const refused = request((await answering(403)).port)
    await expect(refused).rejects.toThrow(FetchNetworkError)
    await expect(refused).rejects.toThrow('No answer: the egress proxy answered 403')
    await expect(request((await answering(407)).port)).rejects.toThrow(
      new EgressProxyError('The egress proxy wants other credentials'),
    )
    const gone = createTcpServer((socket) => socket.destroy())
    await expect(request(await listen(gone))).rejects.toThrow(EgressProxyError)
  })

  it('that never answers is left when the time is up', async () => {
    const silent = await listen(createTcpServer())
    const request = fetchBy({ proxyPort: silent })('http://hook.example/', { timeoutMs: 100 })
    await expect(request).rejects.toThrow(FetchTimeoutError)
  })
})
