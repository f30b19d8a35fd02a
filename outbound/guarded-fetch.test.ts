import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import {
  type AddressInfo,
  createServer as createTcpServer,
  isIPv6,
  type Server as TcpServer,
  type Socket,
} from 'node:net'
import { gzipSync } from 'node:zlib'
import { startNameServer } from '@jobyard/testing/name-server'
import { afterEach, describe, expect, it } from 'vitest'
import { parseAllowList } from './address-rules.ts'
import {
  createGuardedFetch,
  FetchNetworkError,
  FetchTimeoutError,
  ForbiddenAddressError,
  type GuardedFetchOptions,
} from './guarded-fetch.ts'

const servers: (Server | TcpServer)[] = []
const sockets = new Set<Socket>()

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))))
})

function guardedFetch(options: Partial<GuardedFetchOptions> = {}) {
  const allow = parseAllowList('127.0.0.1,[::1]')
  return createGuardedFetch({ allow, timeoutMs: 5_000, maxBodyBytes: 1_000, maxHeaderBytes: 8_192, ...options })
}

async function listen<S extends Server | TcpServer>(
  server: S,
  host = '127.0.0.1',
): Promise<{ server: S; port: number }> {
  servers.push(server)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.listen(0, host)
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

async function httpServer(listener: RequestListener, host?: string) {
  const { server, port } = await listen(createServer(listener), host)
  return { server, port, url: `http://127.0.0.1:${port}` }
}

/** A server that answers each connection with these bytes and leaves it open. */
async function rawServer(answer: (socket: Socket) => void) {
  const { server, port } = await listen(createTcpServer(answer))
  return { server, port, url: `http://127.0.0.1:${port}` }
}

/** Settles when the next connection that the server gets is closed again, however roughly. */
function connectionClosed(server: Server | TcpServer): Promise<void> {
  return new Promise((resolve) => {
    server.once('connection', (socket: Socket) => socket.resume().once('close', () => resolve()))
  })
}

const okHead = 'HTTP/1.1 200 OK\r\n'

const drip = (first: string, drop: string) => (socket: Socket) => {
  socket.write(first)
  const timer = setInterval(() => socket.write(drop), 5)
  socket.on('close', () => clearInterval(timer))
}

/** Those who say of every name that it stands for these addresses. */
async function namesStandFor(...addresses: string[]): Promise<Pick<GuardedFetchOptions, 'nameServers'>> {
  const { host } = await startNameServer((_name, family) =>
    addresses.filter((address) => isIPv6(address) === (family === 'AAAA')),
  )
  return { nameServers: [host] }
}

describe('an allowed receiver', () => {
  it('gets method, headers and body, and its answer comes back whatever the status', async () => {
    const { url } = await httpServer((request, response) => {
      response.writeHead(418, {
        'x-method': request.method,
        'x-given': request.headers['x-given'],
        'x-many': ['a', 'b'],
      })
      request.pipe(response)
    })
    const response = await guardedFetch()(`${url}/path?query`, {
      method: 'PUT',
      headers: { 'X-Given': 'yes' },
      body: 'grüße',
    })
    expect(response).toMatchObject({ status: 418, body: 'grüße', truncated: false })
    expect(response.headers).toMatchObject({ 'x-method': 'PUT', 'x-given': 'yes', 'x-many': 'a, b' })
    expect(response.bytes).toEqual(Buffer.from('grüße'))
  })

  it('is reached under an IPv6 address and under an allowed name', async () => {
    const six = await httpServer((_request, response) => response.end('six'), '::1')
    const four = await httpServer((request, response) => response.end(request.headers.host))
    expect((await guardedFetch()(`http://[::1]:${six.port}/`)).body).toBe('six')
    const allow = parseAllowList(`localhost:${four.port}`)
    const response = await guardedFetch({ allow })(`http://localhost:${four.port}/`)
    expect(response.body).toBe(`localhost:${four.port}`)
  })

  it('sees a connection of its own for each request, and no offer of compression', async () => {
    const seen: unknown[] = []
    const { url } = await httpServer((request, response) => {
      seen.push(request.socket.remotePort)
      response.end(`${request.headers['accept-encoding']} ${request.headers.connection}`)
    })
    const fetch = guardedFetch()
    const headers = { 'Accept-Encoding': 'gzip' }
    expect((await fetch(url, { headers })).body).toBe('identity close')
    expect((await fetch(url, { headers })).body).toBe('identity close')
    expect(new Set(seen).size).toBe(2)
  })

  it('is not followed when it redirects', async () => {
    const paths: unknown[] = []
    const { url } = await httpServer((request, response) => {
      paths.push(request.url)
      response.writeHead(302, { location: '/elsewhere' }).end()
    })
    expect(await guardedFetch()(`${url}/start`)).toMatchObject({ status: 302, headers: { location: '/elsewhere' } })
    expect(paths).toEqual(['/start'])
  })
})

describe('a forbidden address', () => {
  it.each(['127.0.0.1', '127.1', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]', 'localhost', 'localhost.'])(
    'written as %s is refused before a connection is made',
    async (host) => {
      const { server, port } = await httpServer((_request, response) => response.end())
      let connections = 0
      server.on('connection', () => connections++)
      const fetch = guardedFetch({ allow: [] })
      await expect(fetch(`https://${host}:${port}/`)).rejects.toThrow(ForbiddenAddressError)
      await expect(fetch(`http://${host}:${port}/`)).rejects.toThrow(ForbiddenAddressError)
      await guardedFetch()(`http://127.0.0.1:${port}/`)
      expect(connections).toBe(1)
    },
  )

  it.each([
    [['10.0.0.1']],
    [['::2']],
    [['fd00::1']],
    [['fe80::1']],
    [['::ffff:192.168.0.1']],
    [['8.8.8.8', '169.254.169.254']],
    [['2606:4700:4700::1111', '127.0.0.2']],
  ])('behind a name is refused: %j', async (addresses) => {
    const request = guardedFetch(await namesStandFor(...addresses))('https://receiver.example/')
    await expect(request).rejects.toThrow(ForbiddenAddressError)
    await expect(request).rejects.toMatchObject({
      message: expect.stringMatching(/receiver\.example stands for an address that is not public$/),
      cause: { message: expect.stringContaining(addresses.at(-1) ?? '') },
    })
  })

  it('is found when a name changes its address between two requests', async () => {
    const { server, port } = await rawServer((socket) => socket.end('this is not TLS'))
    const answers = [['127.0.0.1'], ['127.0.0.2']]
    const { host } = await startNameServer((_name, family) => (family === 'A' && answers.shift()) || [])
    const fetch = guardedFetch({ nameServers: [host] })
    let connections = 0
    server.on('connection', () => connections++)
    await expect(fetch(`https://rebound.example:${port}/`)).rejects.toThrow(FetchNetworkError)
    expect(connections).toBe(1)
    await expect(fetch(`https://rebound.example:${port}/`)).rejects.toThrow(ForbiddenAddressError)
    expect(connections).toBe(1)
  })
})

describe('a name', () => {
  it.each([['127.0.0.1'], ['::1']])('that stands for %s alone leads there', async (address) => {
    const { server, port } = await listen(
      createTcpServer((socket) => socket.end('this is not TLS')),
      address,
    )
    const connected = once(server, 'connection')
    const request = guardedFetch(await namesStandFor(address))(`https://one.example.:${port}/`)
    await expect(request).rejects.toThrow(FetchNetworkError)
    await connected
  })

  it('is reached while twenty others wait for a name server that never answers', async () => {
    const names = await startNameServer((name, family) => {
      if (name.startsWith('mute')) return 'silence'
      return family === 'A' ? ['127.0.0.2'] : []
    })
    const fetch = guardedFetch({ nameServers: [names.host] })
    const over = new AbortController()
    const mute = Array.from({ length: 20 }, (_, n) => fetch(`https://mute${n}.example/`, { signal: over.signal }))
    const ends = Promise.allSettled(mute)
    await names.wasAsked(40)
    await expect(fetch('https://alive.example/')).rejects.toThrow(/alive\.example stands for an address/)
    over.abort(new Error('seen enough'))
    for (const end of await ends) expect(end).toMatchObject({ reason: { message: 'seen enough' } })
  })
})

describe('a receiver that wants more than its share is cut off:', () => {
  it('an endless body ends at the limit, and its connection with it', async () => {
    const { url, server } = await httpServer((_request, response) => {
      const pour = () => {
        while (response.write(Buffer.alloc(16_384, 'é')));
      }
      response.on('drain', pour)
      pour()
    })
    const closed = connectionClosed(server)
    const response = await guardedFetch({ maxBodyBytes: 101 })(url)
    expect(response).toMatchObject({ truncated: true, body: 'é'.repeat(50) })
    expect(response.bytes.length).toBe(101)
    await closed
  })

  it('a body of exactly the limit is whole', async () => {
    const { url } = await httpServer((_request, response) => response.end('x'.repeat(10)))
    expect(await guardedFetch()(url, { maxBodyBytes: 10 })).toMatchObject({ truncated: false, body: 'xxxxxxxxxx' })
    expect(await guardedFetch()(url, { maxBodyBytes: 9 })).toMatchObject({ truncated: true, body: 'xxxxxxxxx' })
  })

  it('a gzip bomb stays what it was on the wire', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000))
    const { url } = await httpServer((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    )
    const response = await guardedFetch({ maxBodyBytes: 100_000 })(url)
    expect(response.bytes).toEqual(bomb)
  })

  it('headers may have as many bytes as were set, and no more', async () => {
    const { url } = await httpServer((_request, response) => response.setHeader('x', 'y'.repeat(10_000)).end())
    expect((await guardedFetch({ maxHeaderBytes: 12_000 })(url)).headers['x']).toHaveLength(10_000)
    await expect(guardedFetch({ maxHeaderBytes: 8_000 })(url)).rejects.toThrow(FetchNetworkError)
  })

  it.each([
    ['short headers', `${okHead}${'x-filler: 1\r\n'.repeat(10_000)}\r\n`],
    ['bytes in one header', `${okHead}x: ${'y'.repeat(10_000_000)}\r\n\r\n`],
    ['bytes in the name of a header', `${okHead}${'y'.repeat(10_000_000)}: z\r\n\r\n`],
    ['trailers', `${okHead}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n${'x-filler: 1\r\n'.repeat(10_000)}\r\n`],
  ])('too many %s are an error', async (_name, answer) => {
    const { url } = await rawServer((socket) => socket.write(answer))
    await expect(guardedFetch()(url)).rejects.toThrow(FetchNetworkError)
  })
})

describe('a receiver that takes its time is left when the time is up:', () => {
  it.each<[string, (socket: Socket) => void]>([
    ['nothing at all', () => {}],
    ['a drip of body', drip(`${okHead}\r\n`, 'x')],
    ['a drip of headers', drip(okHead, 'x: y\r\n')],
    ['a drip of a status line', drip('HTTP/1.1 200 ', 'O')],
    ['endless interim answers', drip('', 'HTTP/1.1 103 Early Hints\r\n\r\n')],
    ['an endless chunk extension', drip(`${okHead}transfer-encoding: chunked\r\n\r\n1;`, 'x')],
  ])('%s', async (_name, answer) => {
    const { url, server } = await rawServer(answer)
    const closed = connectionClosed(server)
    await expect(guardedFetch({ timeoutMs: 60 })(url)).rejects.toThrow(FetchTimeoutError)
    await closed
  })

  it('a name server that never answers', async () => {
    const { host } = await startNameServer(() => 'silence')
    const request = guardedFetch({ nameServers: [host] })('https://x.example/', { timeoutMs: 20 })
    await expect(request).rejects.toThrow(/within 20 ms/)
  })

  it('a TLS handshake that never ends', async () => {
    const { port } = await rawServer(() => {})
    await expect(guardedFetch({ timeoutMs: 40 })(`https://127.0.0.1:${port}/`)).rejects.toThrow(FetchTimeoutError)
  })
})

describe('a request that the caller gives up', () => {
  it('ends with the reason of the signal, and closes its connection', async () => {
    const { url, server } = await rawServer(() => {})
    const caller = new AbortController()
    const request = guardedFetch()(url, { signal: caller.signal })
    const closed = connectionClosed(server)
    await once(server, 'connection')
    caller.abort(new Error('no longer wanted'))
    await expect(request).rejects.toThrow('no longer wanted')
    await closed
  })

  it('is not made if the signal has fired before', async () => {
    const signal = AbortSignal.abort(new Error('too late'))
    await expect(guardedFetch()('http://127.0.0.1:4000/', { signal })).rejects.toThrow('too late')
  })
})

describe('a broken connection is a network error that says what happened:', () => {
  it.each<[string, (socket: Socket) => void, RegExp]>([
    ['closed without an answer', (socket) => socket.end(), /closed/],
    ['reset', (socket) => socket.resetAndDestroy(), /ECONNRESET|closed/],
    [
      'closed within the body',
      (socket) => socket.end(`${okHead}content-length: 9\r\n\r\nx`),
      /closed|terminated|mismatch/,
    ],
    ['not HTTP', (socket) => socket.end('220 mail.example ESMTP\r\n'), /HTTP/],
  ])('%s', async (_name, answer, message) => {
    const { url } = await rawServer((socket) => socket.once('data', () => answer(socket)))
    const request = guardedFetch()(url)
    await expect(request).rejects.toThrow(FetchNetworkError)
    await expect(request).rejects.toThrow(message)
  })

  it('refused, at one address or at two', async () => {
    const { server, port } = await rawServer(() => {})
    await new Promise((resolve) => server.close(resolve))
    await expect(guardedFetch()(`http://127.0.0.1:${port}/`)).rejects.toThrow(/ECONNREFUSED/)
    const request = guardedFetch(await namesStandFor('127.0.0.1', '::1'))(`https://two.example:${port}/`)
    await expect(request).rejects.toThrow(/No answer: .*ECONNREFUSED/)
  })

  it('a name without an address', async () => {
    const request = guardedFetch(await namesStandFor())('https://none.example/')
    await expect(request).rejects.toThrow(FetchNetworkError)
    await expect(request).rejects.toThrow('No answer: the name servers know no address of none.example')
  })
})
