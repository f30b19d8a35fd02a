import { Agent, request, type IncomingHttpHeaders } from 'node:http'
import type { FuzzRequest } from './requests.ts'

/** An answer over HTTP. Of a stream it has the beginning. */
export interface FuzzAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Time that an answer may take, in milliseconds. */
const deadlineMs = 20_000

/** Sends requests to a port of this machine. */
export class Caller {
  readonly #agent = new Agent({ keepAlive: true })
  readonly #port: number

  constructor(port: number) {
    this.#port = port
  }

  /**
   * @param url that of the request with all names filled in.
   * @returns its answer; once more where a kept connection was closed before the request came.
   * @throws when no answer came.
   */
  async send(each: FuzzRequest, url: string): Promise<FuzzAnswer> {
    try {
      return await this.#once(each, url)
    } catch (error) {
      if (!(error instanceof ClosedWhileIdle)) throw error
      return this.#once(each, url)
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #once({ method, headers, body }: FuzzRequest, url: string): Promise<FuzzAnswer> {
    return new Promise((resolve, reject) => {
      const length = body ? { 'content-length': body.length } : {}
      const options = {
        host: '127.0.0.1',
        port: this.#port,
        agent: this.#agent,
        method,
        path: url,
        timeout: deadlineMs,
      }
      const sent = request({ ...options, headers: { ...headers, ...length } }, (answer) => {
        const chunks: Buffer[] = []
        const end = () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks).toString() })
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('end', end)
        answer.on('error', reject)
        if (!answer.headers['content-type']?.startsWith('text/event-stream')) return
        end()
        sent.destroy()
      })
      sent.on('timeout', () => sent.destroy(new Error(`No answer within ${deadlineMs} ms`)))
      sent.on('error', (error: NodeJS.ErrnoException) =>
        reject(sent.reusedSocket && error.code === 'ECONNRESET' ? new ClosedWhileIdle() : error),
      )
      sent.end(body)
    })
  }
}

class ClosedWhileIdle extends Error {}
