import { startInstallation, type Installation, type InstallationOptions } from '../installation.ts'
import { isPortFree } from './local-server.ts'

const usualPort = 3_000

/**
 * Starts a platform as `npm start` does. Without `PORT` it takes the usual port if that is free, else any free one.
 *
 * @throws Error with one clear line when a part cannot be started; then nothing is left running.
 */
export async function startPlatform({ environment, onProgress }: InstallationOptions): Promise<Installation> {
  if (environment.PORT) return startInstallation({ environment, onProgress })
  const usualIsFree = () => isPortFree(environment.HOST || '127.0.0.1', usualPort)
  const elsewhere = () => {
    onProgress(`Port ${usualPort} is taken; the API gets a free one. Set PORT to choose it`)
    return startInstallation({ environment: { ...environment, PORT: '0' }, onProgress })
  }
  if (!(await usualIsFree())) return elsewhere()
  try {
    return await startInstallation({ environment: { ...environment, PORT: String(usualPort) }, onProgress })
  } catch (error) {
    // Something else took the port while Postgres started: two demos at once do that.
    if (await usualIsFree()) throw error
    return elsewhere()
  }
}
