import { connect, type Socket } from 'node:net'

/** Where the jobs are posted. */
export interface Address {
  /** `http://host:port` */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/** One kept-alive connection that posts one job at a time; leaner than an HTTP client, since it shares the machine with what it loads. */
export class Connection {
  readonly #socket: Socket
  readonly #head: string
  #received = ''

  /** @param onAnswer told each time a job was accepted. */
  constructor({ url, headers }: Address, onAnswer: (connection: Connection) => void) {
    const { hostname, port, host } = new URL(url)
    const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    this.#head = `POST /v1/jobs HTTP/1.1\r\n${lines.join('')}content-length: `
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#socket.setEncoding('latin1')
    this.#socket.on('error', (error) => {
      throw error
    })
    this.#socket.on('close', () => {
      throw new Error('The server closed a connection')
    })
    this.#socket.on('data', (chunk: string) => {
      this.#received += chunk
      if (!isWhole(this.#received)) return
      if (!this.#received.startsWith('HTTP/1.1 202 ')) throw new Error(`A job was refused: ${this.#received}`)
      this.#received = ''
      onAnswer(this)
    })
  }

  /** Posts the job of this number. Only to be called once the job before was accepted. */
  post(job: number): void {
    const body = `{"type":"echo","input":{"value":${job}}}`
    this.#socket.write(`${this.#head}${body.length}\r\n\r\n${body}`)
  }
}

function isWhole(received: string): boolean {
  const headEnd = received.indexOf('\r\n\r\n')
  if (headEnd < 0) return false
  const length = /\r\ncontent-length: (\d+)/i.exec(received)?.[1]
  return received.length >= headEnd + 4 + Number(length)
}
