import { startNameServer, type Answer } from '@jobyard/testing/name-server'
import { describe, expect, it } from 'vitest'
import { askNameServers } from './name-servers.ts'

const signal = new AbortController().signal

async function ask(answers: Record<'A' | 'AAAA', Answer>, name = 'hook.example') {
  const names = await startNameServer((_name, family) => answers[family])
  return askNameServers(name, { signal, nameServers: [names.host] })
}

describe('Name servers', () => {
  it('tell the addresses of both families, IPv6 first', async () => {
    const addresses = await ask({ A: ['192.0.2.1', '192.0.2.2'], AAAA: ['2001:db8::1'] })
    expect(addresses).toEqual([
      { address: '2001:db8::1', family: 6 },
      { address: '192.0.2.1', family: 4 },
      { address: '192.0.2.2', family: 4 },
    ])
  })

  it.each<[Answer]>([[[]], ['no such name'], ['failure'], ['silence']])(
    'are believed for one family when the other is answered by %j',
    async (answer) => {
      expect(await ask({ A: ['192.0.2.1'], AAAA: answer })).toEqual([{ address: '192.0.2.1', family: 4 }])
      expect(await ask({ A: answer, AAAA: ['2001:db8::1'] })).toEqual([{ address: '2001:db8::1', family: 6 }])
    },
    8_000, // who waited for the silent one to the end would need 9 s each time
  )

  it.each(['hook', 'hook.example', 'hook.example.'])('are asked for %s as it is', async (name) => {
    const names = await startNameServer((_name, family) => (family === 'A' ? ['192.0.2.1'] : []))
    await askNameServers(name, { signal, nameServers: [names.host] })
    const plain = name.replace(/\.$/, '')
    expect(names.asked.toSorted()).toEqual([`${plain} A`, `${plain} AAAA`])
  })

  it.each([
    ['no such name', /know no address of hook\.example \(names in \/etc\/hosts count only where OUTBOUND_ALLOW/],
    [[], /know no address of hook\.example/],
    ['failure', /did not tell the address of hook\.example \(ESERVFAIL\)/],
  ] as const)('that answer %j are quoted', async (answer, message) => {
    await expect(ask({ A: answer, AAAA: answer })).rejects.toThrow(message)
  })

  it('that know nothing of one family and fail for the other have failed', async () => {
    await expect(ask({ A: 'failure', AAAA: [] })).rejects.toThrow(/ESERVFAIL/)
  })

  it('that are ill make room for the next one', async () => {
    const ill = await startNameServer(() => 'failure')
    const well = await startNameServer((_name, family) => (family === 'A' ? ['192.0.2.1'] : []))
    const asking = askNameServers('hook.example', { signal, nameServers: [ill.host, well.host] })
    expect(await asking).toEqual([{ address: '192.0.2.1', family: 4 }])
  })

  it('that are silent are left when the signal fires', async () => {
    const names = await startNameServer(() => 'silence')
    const over = new AbortController()
    const asking = askNameServers('hook.example', { signal: over.signal, nameServers: [names.host] })
    await names.wasAsked(2)
    over.abort()
    await expect(asking).rejects.toThrow(/ECANCELLED/)
  })
})
