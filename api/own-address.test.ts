import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { expect, it, onTestFinished } from 'vitest'
import { ownAddresses } from './own-address.ts'

async function listenAt(host: string) {
  const server = createServer().listen(0, host)
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

it('An API that listens everywhere is reached at every address of the machine', async () => {
  const { server, port } = await listenAt('0.0.0.0')
  const machine = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses)
  expect(ownAddresses(server, 'x')).toEqual(
    expect.arrayContaining([...machine.map(({ address }) => `${address}:${port}`), `localhost:${port}`]),
  )
})

it('An API that listens at loopback is reached by its name too', async () => {
  const { server, port } = await listenAt('127.0.0.1')
  expect(ownAddresses(server, '')).toEqual([`127.0.0.1:${port}`, `::1:${port}`, `localhost:${port}`])
})

it.each([
  ['jobs.example', 'jobs.example:443'],
  ['JOBS.example.:8443', 'jobs.example:8443'],
  ['[::1]:3000', '::1:3000'],
])('An API that a caller reached as %s is reached at %s', (host, own) => {
  expect(ownAddresses(createServer(), host)).toEqual([own])
})

it('A Host that is none tells nothing', () => {
  expect(ownAddresses(createServer(), 'a b')).toEqual([])
})
