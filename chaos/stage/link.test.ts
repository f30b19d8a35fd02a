import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Link } from './link.ts'

let server: Server
let link: Link
let original: string
let client: Socket
const received: string[] = []
const serverSockets: Socket[] = []

beforeEach(async () => {
  received.length = 0
  serverSockets.length = 0
  server = createServer((socket) => {
    serverSockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (data) => {
      received.push(String(data))
      server.emit('received')
      socket.write(`answer to ${String(data)}`)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  original = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`
  link = await Link.to(original)
  client = await connected()
})

afterEach(async () => {
  client.destroy()
  await link.close()
  server.close()
})

async function connected(): Promise<Socket> {
  const socket = connect(Number(new URL(link.url(original)).port), '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

async function closing(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.once('close', () => resolve()))
}

async function ask(question: string): Promise<string> {
  client.write(question)
  const [data] = (await once(client, 'data')) as [Buffer]
  return String(data)
}

/** By the time that this has come back, whatever the link lets pass has been received. */
async function roundTripBesideTheLink(): Promise<void> {
  const beside = connect((server.address() as AddressInfo).port, '127.0.0.1')
  beside.write('beside')
  await once(beside, 'data')
  beside.destroy()
}

it('An open link passes bytes both ways', async () => {
  expect(await ask('a')).toBe('answer to a')
})

it('A frozen link passes nothing, and everything once it is healed', async () => {
  await ask('a')
  link.freeze()
  const answer = ask('b')
  await roundTripBesideTheLink()
  expect(received).toEqual(['a', 'beside'])
  link.heal()
  expect(await answer).toBe('answer to b')
})

it('Over a mute link the server does what it is asked, and nobody is told until it is healed', async () => {
  await ask('a')
  link.mute()
  const done = once(server, 'received')
  const answer = ask('b')
  await done
  expect(received).toEqual(['a', 'b'])
  link.heal()
  expect(await answer).toBe('answer to b')
})

it('A link can freeze only those connections that begin with certain words', async () => {
  await ask('greetings from a')
  link.freeze('from b')
  expect(await ask('b')).toBe('answer to b')
  link.freeze('from a')
  const answer = ask('c')
  await roundTripBesideTheLink()
  expect(received).toEqual(['greetings from a', 'b', 'beside'])
  link.heal()
  expect(await answer).toBe('answer to c')
})

it('A stranded connection passes nothing any more, while new ones are fine', async () => {
  await ask('a')
  link.strand()
  client.write('b')
  const stranded = client
  client = await connected()
  expect(await ask('c')).toBe('answer to c')
  expect(received).toEqual(['a', 'c'])
  stranded.destroy()
})

it('A severed link resets what is open and refuses what is new, until it is healed', async () => {
  await ask('a')
  const closed = closing(client)
  link.sever()
  await closed
  const refused = connect(Number(new URL(link.url(original)).port), '127.0.0.1')
  refused.on('error', () => {})
  await closing(refused)
  link.heal()
  client = await connected()
  expect(await ask('b')).toBe('answer to b')
})

it('A link that drops what was frozen resets it', async () => {
  await ask('a')
  link.freeze()
  const closed = closing(client)
  link.heal(true)
  await closed
  expect(link.connections).toBe(0)
})

it('A deserted connection is reset for the client, and the server hears of it when the link is healed', async () => {
  await ask('a')
  const closed = closing(client)
  const [socket] = serverSockets
  link.desert()
  await closed
  await roundTripBesideTheLink()
  expect(socket?.closed).toBe(false)
  const serverClosed = closing(socket as Socket)
  link.heal(true)
  await serverClosed
})
