import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { WebSocket } from '@fastify/websocket'
import { asFrame, asServerSentEvent, type EndReason, type StreamMessage } from './message.ts'

/** The connection to one reader, whatever it speaks. */
export interface StreamSink {
  /** Bytes that the reader has not taken yet. */
  readonly waitingBytes: number
  /** Tells where the stream begins. */
  open(id: string): void
  send(messages: readonly StreamMessage[]): void
  /** Shows that the connection lives, and how far the stream has come. */
  beat(id: string): void
  /** Ends the stream; who does not take the rest soon is cut off. @param reason when the reader wanted more. */
  end(reason?: EndReason): void
}

/** How long the browser waits before it connects anew, in milliseconds. */
const retryMs = 1_000
/** Time that a reader has to take the rest of a stream that has ended, in milliseconds. */
const lingerMs = 5_000

/** Writes a stream as server-sent events. From now on the answer is its own. @param headers that it carries besides. */
export function serverSentEvents(
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
  onClose: () => void,
): StreamSink {
  if (response.destroyed) queueMicrotask(onClose)
  response.once('close', onClose)
  response.on('error', () => {})
  return {
    get waitingBytes() {
      return response.writableLength
    },
    open: (id) => {
      response.writeHead(200, {
        ...headers,
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        connection: 'close',
      })
      response.write(`retry: ${retryMs}\nid: ${id}\n\n`)
    },
    send: (messages) => void response.write(messages.map(asServerSentEvent).join('')),
    beat: (id) => void response.write(`: still here\nid: ${id}\n\n`),
    end: () => {
      response.end()
      const timer = setTimeout(() => response.destroy(), lingerMs)
      response.once('close', () => clearTimeout(timer))
    },
  }
}

/** Codes with which a WebSocket is closed: https://www.iana.org/assignments/websocket/websocket.xhtml */
const closeCodes = { ended: 1_000, draining: 1_001, unauthenticated: 1_008, failover: 1_012, slow: 1_013 } as const

/** Writes a stream as messages of a WebSocket. Who does not answer a ping until the next one is cut off. */
export function webSocketMessages(socket: WebSocket, onClose: () => void): StreamSink {
  let isAlive = true
  socket.once('close', onClose)
  socket.on('error', () => {})
  socket.on('pong', () => {
    isAlive = true
  })
  const send = (message: StreamMessage) => socket.send(asFrame(message))
  return {
    get waitingBytes() {
      return socket.bufferedAmount
    },
    open: (id) => send({ id, type: 'open', data: '{}' }),
    send: (messages) => {
      for (const message of messages) send(message)
    },
    beat: () => {
      if (!isAlive) socket.terminate()
      isAlive = false
      socket.ping()
    },
    end: (reason) => {
      socket.close(closeCodes[reason ?? 'ended'], reason)
      const timer = setTimeout(() => socket.terminate(), lingerMs)
      socket.once('close', () => clearTimeout(timer))
    },
  }
}
