import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'

/** Starts a server on a free port of the loopback address. @returns the port. */
export async function listenLocally(server: { listen(port: number, host: string): Server }): Promise<number> {
  const listening = server.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  return (listening.address() as AddressInfo).port
}

/** Serves HTTP on a free port of the loopback address. A request whose answer fails is cut off. */
export async function serveLocally(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<{ readonly host: string; readonly close: () => void }> {
  const server = createHttpServer((request, response) => {
    void answer(request, response).catch(() => response.destroy())
  })
  const port = await listenLocally(server)
  return {
    host: `127.0.0.1:${port}`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
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
