import { afterEach, describe, it } from 'vitest'
import { carrierKinds } from '../testing/platform.ts'
import { openProcessPlatform, type ProcessPlatform } from '../testing/processes.ts'
import { Client, expectEachEndedOnce } from './oracle.ts'

let platform: ProcessPlatform
afterEach(() => platform.stop())

describe.each(carrierKinds)('Under load (%s), every accepted job ends once', (kind) => {
  it('when workers and APIs are killed with −9', async () => {
    platform = await openProcessPlatform(kind)
    let api = await platform.start('api')
    const workers = [await platform.start('workers'), await platform.start('workers')]
    const client = new Client(() => api)
    client.start()
    for (let round = 0; round < 2; round++) {
      await client.accepts(100)
      await workers.shift()?.kill()
      workers.push(await platform.start('workers'))
      await client.accepts(100)
      await api.kill()
      api = await platform.start('api')
    }
    await client.accepts(50)
    await client.stop()
    await expectEachEndedOnce(platform.db, client.accepted)
  }, 90_000)
})
