import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { startNameServer } from '@jobyard/testing/name-server'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { parseAllowList } from './address-rules.ts'
import { EgressProxyError, openTunnel } from './egress-proxy.ts'
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

/** A proxy that lets everybody in and says nothing. */
async function startSilentProxy() {
  const server = createTcpServer()
  const asked = new Promise((resolve) => server.once('connection', (socket) => socket.once('data', resolve)))
  return { port: await listen(server), asked }
}

/** Listens in a thread that is stuck, where the queue of connections is full: whoever else comes is not even refused. */
async function listenDeafly(): Promise<number> {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
     })`,
    { eval: true },
  )
  const [port] = (await once(worker, 'message')) as [number]
  const queued = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')] // Linux queues one more than it was told
  onTestFinished(async () => {
    for (const socket of queued) socket.destroy()
    await worker.terminate()
  })
  await Promise.all(queued.map((socket) => once(socket, 'connect')))
  return port
}

interface Setting {
  readonly proxyPort: number
  readonly scheme?: 'http' | 'https'
  readonly credentials?: string
  readonly nameServers?: readonly string[]
  readonly allow?: string
}

function fetchBy({ proxyPort, scheme = 'http', credentials = '', nameServers, allow = publicAddress }: Setting) {
  return createGuardedFetch({
    allow: parseAllowList(allow),
    proxy: new URL(`${scheme}://${credentials}127.0.0.1:${proxyPort}`),
    timeoutMs,
    maxBodyBytes: 1_000,
    maxHeaderBytes: 8_192,
    nameServers,
  })
}

describe('An egress proxy', () => {
  it('leads to the receiver, and is told who asks', async () => {
    const receiver = await startReceiver('taken')
    const proxy = await startProxy(receiver.port)
    const fetch = fetchBy({ proxyPort: proxy.port, credentials: 'job%40yard:p%3Ass@' })

    const answer = await fetch(`http://${publicAddress}/in`, { method: 'POST', body: 'an event' })

    expect([answer.status, answer.body]).toEqual([200, 'taken'])
    expect(receiver.got).toEqual([{ host: publicAddress, body: 'an event' }])
    expect(proxy.asked.map(({ url }) => url)).toEqual([`${publicAddress}:80`])
    const [, credentials = ''] = proxy.asked[0]!.headers['proxy-authorization']!.split(' ')
    expect(Buffer.from(credentials, 'base64').toString()).toBe('job@yard:p:ss')
  })

  it('is asked for the address that was judged, and sees nothing but TLS for the name when the URL is https://', async () => {
    const hello = Promise.withResolvers<Buffer>()
    const receiver = createTcpServer((socket) => socket.once('data', hello.resolve).once('data', () => socket.end()))
    const proxy = await startProxy(await listen(receiver))

    const names = await startNameServer((_name, family) => (family === 'A' ? [publicAddress] : []))
    const request = fetchBy({ proxyPort: proxy.port, nameServers: [names.host] })('https://hook.example/secret-path')

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
    const names = await startNameServer((_name, family) => (family === 'A' ? ['127.0.0.1'] : []))
    const to = (allow: string) => fetchBy({ proxyPort: proxy.port, nameServers: [names.host], allow })

    await expect(to('')('https://hook.example/')).rejects.toThrow(ForbiddenAddressError)
    const url = `http://localhost:${receiver.port}/`
    expect(await to('localhost')(url)).toMatchObject({ status: 200, body: 'direct' })
    expect(proxy.asked).toEqual([])
  })

  it('is asked for the next address when it does not reach the first, IPv4 before IPv6', async () => {
    const proxy = await startProxy(0, (authority) => (authority.startsWith('[') ? 504 : 502))
    const names = await startNameServer((_name, family) =>
      family === 'A' ? [publicAddress] : ['2606:2800:21f:cb07::1'],
    )
    const request = fetchBy({ proxyPort: proxy.port, nameServers: [names.host] })('https://hook.example/')

    await expect(request).rejects.toThrow('No answer: the egress proxy answered 504')
    expect(proxy.asked.map(({ url }) => url)).toEqual([`${publicAddress}:443`, '[2606:2800:21f:cb07::1]:443'])
  })

  it('that refuses an address speaks of the receiver; one that is away or wants other credentials, of itself', async () => {
    const answering = (status: number) => startProxy(0, () => status)
    const request = async (proxyPort: number) => fetchBy({ proxyPort })(`http://${publicAddress}/`)

    const refused = request((await answering(403)).port)
    await expect(refused).rejects.toThrow(FetchNetworkError)
    await expect(refused).rejects.toThrow('No answer: the egress proxy answered 403')
    await expect(request((await answering(407)).port)).rejects.toThrow(
      new EgressProxyError('The egress proxy wants other credentials'),
    )
    const gone = createTcpServer((socket) => socket.destroy())
    await expect(request(await listen(gone))).rejects.toThrow(EgressProxyError)
  })

  it('that wants other credentials is not asked for further addresses', async () => {
    const proxy = await startProxy(0, () => 407)
    const names = await startNameServer((_name, family) => (family === 'A' ? [publicAddress, '93.184.215.15'] : []))
    const request = fetchBy({ proxyPort: proxy.port, nameServers: [names.host] })('https://hook.example/')
    await expect(request).rejects.toThrow(EgressProxyError)
    expect(proxy.asked).toHaveLength(1)
  })

  it('that was reached is none that is away when the signal fires', async () => {
    const { port, asked } = await startSilentProxy()
    const over = new AbortController()
    const end = { addresses: [{ address: publicAddress, family: 4 }], port: 443, signal: over.signal }
    const tunnel = openTunnel(new URL(`http://127.0.0.1:${port}`), end)
    await asked
    over.abort()
    await expect(tunnel).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
  })

  describe('has 5 s to be reached:', () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
    afterEach(() => void vi.useRealTimers())

    it('one that is reached and never answers looks like a receiver that takes its time', async () => {
      const { port, asked } = await startSilentProxy()
      const request = fetchBy({ proxyPort: port })(`http://${publicAddress}/`, { timeoutMs: 15_000 })
      await asked
      vi.advanceTimersByTime(5_000)
      await setImmediate()
      vi.advanceTimersByTime(10_000)
      await expect(request).rejects.toThrow(FetchTimeoutError)
    })

    it.each([
      ['accepts and never shakes hands', 'https', async () => listen(createTcpServer())],
      ['does not even accept', 'http', listenDeafly],
    ] as const)('one that %s is away', async (_how, scheme, start) => {
      const fetch = fetchBy({ proxyPort: await start(), scheme })
      const request = fetch(`http://${publicAddress}/`, { timeoutMs: 15_000 })
      await vi.waitUntil(() => vi.getTimerCount() === 2) // that of the request, and that of the connection
      vi.advanceTimersByTime(5_000)
      await expect(request).rejects.toThrow(new EgressProxyError('The egress proxy gives no answer'))
    })
  })
})
