import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { head, listen } from '../../testing/listening-api.ts'

const firstByte = 'content-length: 100\r\n\r\n{'
const chunk = (data: string) => `${data.length.toString(16)}\r\n${data}\r\n`
const job = '{"type":"echo","input":{"value":1}}\n'

it('A body that trickles in is cut off, while a stream may take longer', async () => {
  const { port } = await listen({ bodyTimeoutMs: 100 })
  const stream = connect(port, '127.0.0.1')
  stream.write(
    `${head('/v1/jobs/batch', 'application/x-ndjson')}transfer-encoding: chunked\r\nconnection: close\r\n\r\n${chunk(job)}`,
  )
  await once(stream, 'readable')
  const slow = connect(port, '127.0.0.1')
  slow.write(head('/v1/jobs', 'application/json') + firstByte)
  expect(await text(slow)).toMatch(/^HTTP\/1.1 408 /)
  stream.write(chunk(job) + chunk(''))
  expect(await text(stream)).toMatch(/^HTTP\/1.1 202 .*"index":0,"id":.*"index":1,"id":/s)
})

it('A body that trickles in after its answer is cut off too', async () => {
  const { port } = await listen({ bodyTimeoutMs: 100 })
  const slow = connect(port, '127.0.0.1')
  slow.write(`POST /v1/jobs HTTP/1.1\r\nhost: x\r\n${firstByte}`)
  expect(await text(slow)).toMatch(/^HTTP\/1.1 401 /)
})
