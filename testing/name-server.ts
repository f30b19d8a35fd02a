import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv4 } from 'node:net'
import { onTestFinished } from 'vitest'

/** What a name server says of one family of a name: its addresses, be there any; that there is no such name; that it has failed; or nothing at all. */
export type Answer = readonly string[] | 'no such name' | 'failure' | 'silence'

export interface NameServer {
  /** As `address:port`. */
  readonly host: string
  /** What it was asked, e.g. `hook.example AAAA`, oldest first. */
  readonly asked: readonly string[]
  /** Settles when it has been asked so often. */
  wasAsked(times: number): Promise<void>
}

/** Numbers of RFC 1035 and RFC 3596. */
const families: Readonly<Record<number, 'A' | 'AAAA'>> = { 1: 'A', 28: 'AAAA' }
const codes = { failure: 2, 'no such name': 3 }
const headerLength = 12

/** Starts a name server that ends with the test. It knows no zone: each question is answered as it is told. */
export async function startNameServer(answer: (name: string, family: 'A' | 'AAAA') => Answer): Promise<NameServer> {
  const asked: string[] = []
  const socket = createSocket('udp4').on('message', (query, { port, address }) => {
    const question = questionIn(query)
    asked.push(`${question.name} ${question.family}`)
    const said = answer(question.name, question.family)
    if (said !== 'silence') socket.send(answerTo(query, question, said), port, address)
    socket.emit('asked')
  })
  onTestFinished(() => void socket.close())
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const wasAsked = async (times: number) => {
    while (asked.length < times) await once(socket, 'asked')
  }
  return { host: `127.0.0.1:${socket.address().port}`, asked, wasAsked }
}

interface Question {
  readonly name: string
  readonly family: 'A' | 'AAAA'
  readonly end: number
}

function questionIn(query: Buffer): Question {
  const labels: string[] = []
  let at = headerLength
  for (let length = query[at]; length; length = query[at]) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const family = families[query.readUInt16BE(at + 1)]
  if (!family) throw new Error('Only addresses are asked for')
  return { name: labels.join('.'), family, end: at + 5 }
}

function answerTo(query: Buffer, { end, family }: Question, said: Exclude<Answer, 'silence'>): Buffer {
  const addresses = typeof said === 'string' ? [] : said
  const header = Buffer.alloc(headerLength)
  query.copy(header, 0, 0, 2)
  header.writeUInt16BE(0x8180 | (typeof said === 'string' ? codes[said] : 0), 2) // an answer, of one that recurses
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(addresses.length, 6)
  return Buffer.concat([header, query.subarray(headerLength, end), ...addresses.map((each) => record(family, each))])
}

/** A record of the name that was asked for, which may not be remembered. */
function record(family: 'A' | 'AAAA', address: string): Buffer {
  const bytes = bytesOf(address)
  const start = Buffer.from([0xc0, headerLength, 0, family === 'A' ? 1 : 28, 0, 1, 0, 0, 0, 0, 0, bytes.length])
  return Buffer.concat([start, bytes])
}

function bytesOf(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1) // groups only, also where an IPv4 address is embedded
  const [head = [], tail = []] = plain.split('::').map((part) => part.split(':').filter(Boolean))
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}
