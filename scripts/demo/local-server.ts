import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'

/** Starts a server on a free port of the loopback address. @returns the port. */
export async function listenLocally(server: Pick<Server, 'listen' | 'once' | 'address'>): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server as Server, 'listening')
  return (server.address() as AddressInfo).port
}

/** @returns whether something could listen there now. */
export async function isPortFree(host: string, port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, host)
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
