import { BlockList, isIPv4 } from 'node:net'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseAllowList, whyAddressIsForbidden, whyUrlIsForbidden } from './address-rules.ts'

const nothing = parseAllowList('')
const anyTarget = { host: 'receiver.example', port: 443 }

describe('a URL whose spelling gives it away is refused', () => {
  it.each([
    ['http://receiver.example/', /https/],
    ['http://8.8.8.8/', /https/],
    ['file:///etc/passwd', /file:/],
    ['ftp://receiver.example/', /ftp:/],
    ['gopher://receiver.example/', /gopher:/],
    ['javascript:alert(1)', /javascript:/],
    ['/relative', /absolute/],
    ['', /absolute/],
    ['https://', /absolute/],
    ['https://user@receiver.example/', /user name/],
    ['https://:secret@receiver.example/', /password/],
    ['https://receiver.example@127.0.0.1/', /user name/],
    ['https://127.0.0.1/', /loopback/],
    ['https://127.1/', /loopback/],
    ['https://2130706433/', /loopback/],
    ['https://0x7f.1/', /loopback/],
    ['https://0x7f000001/', /loopback/],
    ['https://0177.0.0.01/', /loopback/],
    ['https://127.0.0.1./', /loopback/],
    ['https://①②⑦.0.0.1/', /loopback/],
    ['https://127。0。0。1/', /loopback/],
    ['https://%31%32%37.0.0.1/', /loopback/],
    ['https://0/', /unspecified/],
    ['https://0.0.0.0/', /unspecified/],
    ['https://localhost/', /this machine/],
    ['https://localhost./', /this machine/],
    ['https://LOCALHOST/', /this machine/],
    ['https://api.localhost/', /this machine/],
    ['https://10.1.2.3/', /private/],
    ['https://172.16.0.1/', /private/],
    ['https://172.31.255.255/', /private/],
    ['https://192.168.1.1/', /private/],
    ['https://169.254.169.254/latest/meta-data', /linkLocal/],
    ['https://100.64.0.1/', /carrierGradeNat/],
    ['https://198.18.0.1/', /reserved/],
    ['https://192.0.2.1/', /reserved/],
    ['https://224.0.0.1/', /multicast/],
    ['https://240.0.0.1/', /reserved/],
    ['https://255.255.255.255/', /broadcast/],
    ['https://[::]/', /unspecified/],
    ['https://[::1]/', /loopback/],
    ['https://[::127.0.0.1]/', /loopback, embedded/],
    ['https://[::ffff:127.0.0.1]/', /loopback, embedded/],
    ['https://[::ffff:7f00:1]/', /loopback, embedded/],
    ['https://[::ffff:8.8.8.8]/', /embedded/],
    ['https://[::ffff:0:10.0.0.1]/', /private, embedded/],
    ['https://[64:ff9b::10.0.0.1]/', /private, embedded/],
    ['https://[64:ff9b:1::10.0.0.1]/', /private, embedded/],
    ['https://[2002:7f00:1::]/', /loopback, embedded/],
    ['https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/', /loopback, embedded/],
    ['https://[fc00::1]/', /uniqueLocal/],
    ['https://[fd12:3456:789a::1]/', /uniqueLocal/],
    ['https://[fe80::1]/', /linkLocal/],
    ['https://[fec0::1]/', /deprecatedSiteLocal/],
    ['https://[ff02::1]/', /multicast/],
    ['https://[2001:db8::1]/', /reserved/],
    ['https://[100::1]/', /discard/],
    ['https://[4000::1]/', /not a public address/],
    ['https://receiver.example:22/', /port 22/],
    ['https://receiver.example:25/', /port 25/],
    ['https://receiver.example:0/', /port 0/],
    ['https://8.8.8.8:6667/', /port 6667/],
  ])('%s', (url, reason) => {
    expect(whyUrlIsForbidden(url, nothing)).toMatch(reason)
  })
})

it.each([
  'https://receiver.example/hook?x=1#y',
  'https://receiver.example:8443/',
  'https://8.8.8.8/',
  'https://172.32.0.1/',
  'https://[2606:4700:4700::1111]/',
  'https://bücher.example/',
  'https://notlocalhost/',
  new URL('https://receiver.example/'),
])('the public URL %s passes', (url) => {
  expect(whyUrlIsForbidden(url, nothing)).toBeUndefined()
})

describe('the allow list', () => {
  const allow = parseAllowList(
    '127.0.0.1:4000, 10.1.0.0/16, localhost:3999, [::1]:80, fd00:1::/32, mail.internal, 10.2.0.1:25',
  )

  it.each([
    'http://127.0.0.1:4000/',
    'http://127.1:4000/',
    'http://10.1.255.255:8080/',
    'https://10.1.0.0/',
    'http://localhost:3999/',
    'http://LocalHost.:3999/',
    'http://[::1]/',
    'http://[fd00:1::9]/',
    'http://mail.internal:9999/',
    'http://10.2.0.1:25/',
  ])('opens %s', (url) => {
    expect(whyUrlIsForbidden(url, allow)).toBeUndefined()
  })

  it.each([
    'http://127.0.0.1:4001/',
    'http://127.0.0.2:4000/',
    'http://10.2.0.0/',
    'http://10.1.0.1:25/',
    'http://localhost:3998/',
    'http://x.localhost:3999/',
    'http://[::1]:81/',
    'http://[::ffff:127.0.0.1]:4000/',
    'http://[::ffff:10.1.0.1]/',
    'http://[fd00:2::9]/',
    'http://x.mail.internal/',
    'http://mail.internal:25/',
    'http://user@mail.internal/',
    'ftp://mail.internal/',
  ])('does not open %s', (url) => {
    expect(whyUrlIsForbidden(url, allow)).toBeTypeOf('string')
  })

  it('lets an allowed name resolve to any address, and other names to allowed networks only', () => {
    expect(whyAddressIsForbidden('192.168.9.9', { host: 'mail.internal', port: 80 }, allow)).toBeUndefined()
    expect(whyAddressIsForbidden('192.168.9.9', anyTarget, allow)).toMatch(/private/)
    expect(whyAddressIsForbidden('10.1.9.9', anyTarget, allow)).toBeUndefined()
  })

  it('judges the embedded IPv4 address where it opens a network of translated addresses', () => {
    const translated = parseAllowList('64:ff9b::/96')
    expect(whyAddressIsForbidden('64:ff9b::8.8.8.8', anyTarget, translated)).toBeUndefined()
    expect(whyAddressIsForbidden('64:ff9b::10.0.0.1', anyTarget, translated)).toMatch(/private/)
    expect(
      whyAddressIsForbidden('64:ff9b::10.0.0.1', anyTarget, parseAllowList('64:ff9b::/96,10.0.0.1')),
    ).toBeUndefined()
  })

  it('is empty for an empty text', () => {
    expect(parseAllowList('  ')).toEqual([])
  })

  it.each([
    '127.1',
    '0x7f000001',
    '10.1.0.0/33',
    '10.1.0.0/',
    '10.1/16',
    'fd00::/129',
    'host:0',
    'host:65536',
    'host:port',
    'http://host',
    'user@host',
    '*.internal',
    'two words',
    '[host]:80',
    '[::1',
    '::1]:80',
    'host:80:90',
    '%',
  ])('names the malformed entry %s', (entry) => {
    expect(() => parseAllowList(`localhost:1,${entry}`)).toThrow(`"${entry}"`)
  })

  it('names an empty entry, and tells how to write a network with bits behind its prefix', () => {
    expect(() => parseAllowList('localhost,,127.0.0.1')).toThrow('""')
    expect(() => parseAllowList('10.1.2.3/16')).toThrow('write 10.1.0.0/16')
    expect(() => parseAllowList('fd00::1/8')).toThrow('write fd00::/8')
  })
})

/** IANA's registry of special-purpose IPv4 addresses, and multicast. */
const specialNetworks = `
  0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24
  192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24
  224.0.0.0/4 240.0.0.0/4`
  .trim()
  .split(/\s+/)
  .map((cidr) => {
    const [base = '', bits = ''] = cidr.split('/')
    return { base, bits: Number(bits), size: 2 ** (32 - Number(bits)) }
  })
const special = new BlockList()
for (const { base, bits } of specialNetworks) special.addSubnet(base, bits, 'ipv4')

const specialAddress = fc
  .constantFrom(...specialNetworks)
  .chain(({ base, size }) => fc.integer({ min: 0, max: size - 1 }).map((offset) => dotted(numberOf(base) + offset)))
const anyAddress = fc.oneof(specialAddress, fc.integer({ min: 0, max: 2 ** 32 - 1 }).map(dotted))
const privateAddress = specialAddress.filter((address) => /^(10\.|192\.168\.|127\.)/.test(address))

const notations: Record<string, (address: string) => string> = {
  dotted: (address) => address,
  decimal: (address) => String(numberOf(address)),
  hex: (address) => `0x${numberOf(address).toString(16)}`,
  octal: (address) => `0${numberOf(address).toString(8)}`,
  'octal parts': (address) =>
    partsOf(address)
      .map((part) => `0${part.toString(8)}`)
      .join('.'),
  'hex parts': (address) =>
    partsOf(address)
      .map((part) => `0x${part.toString(16)}`)
      .join('.'),
  'two parts': (address) => `${partsOf(address)[0]}.${numberOf(address) % 2 ** 24}`,
  'three parts': (address) => `${partsOf(address)[0]}.${partsOf(address)[1]}.${numberOf(address) % 2 ** 16}`,
  'final dot': (address) => `${address}.`,
  'percent encoded': (address) => address.replace(/\d/g, (digit) => `%3${digit}`),
  mapped: (address) => `[::ffff:${address}]`,
  'mapped, in hex': (address) => `[0:0:0:0:0:ffff:${hexWords(address)}]`,
  compatible: (address) => `[::${address}]`,
  translated: (address) => `[::ffff:0:${address}]`,
  NAT64: (address) => `[64:ff9b::${address}]`,
  'local NAT64': (address) => `[64:ff9b:1::${address}]`,
  '6to4': (address) => `[2002:${hexWords(address)}::1]`,
  Teredo: (address) => `[2001::${hexWords(dotted(2 ** 32 - 1 - numberOf(address)))}]`,
}

describe('for every address', () => {
  it.each(Object.entries(notations))('a special-purpose one written as %s is refused', (_name, write) => {
    fc.assert(
      fc.property(specialAddress, (address) => {
        expect(whyUrlIsForbidden(`https://${write(address)}/`, nothing)).toBeTypeOf('string')
      }),
    )
  })

  it('an IPv4 one passes exactly if no registry of special-purpose addresses holds it', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(isIPv4(address)).toBe(true)
        expect(whyAddressIsForbidden(address, anyTarget, nothing) === undefined).toBe(!special.check(address))
      }),
    )
  })

  it('an IPv6 one outside 2000::/3 is refused', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 }), (words) => {
        fc.pre((words[0] ?? 0) >> 13 !== 1)
        const address = words.map((word) => word.toString(16)).join(':')
        expect(whyAddressIsForbidden(address, anyTarget, nothing)).toBeTypeOf('string')
        expect(whyUrlIsForbidden(`https://[${address}]/`, nothing)).toBeTypeOf('string')
      }),
    )
  })

  it('an allowed network opens its own addresses and no others', () => {
    const network = fc.tuple(privateAddress, fc.integer({ min: 8, max: 32 }))
    fc.assert(
      fc.property(network, specialAddress, fc.integer({ min: 0 }), ([address, bits], other, offset) => {
        const size = 2 ** (32 - bits)
        const base = numberOf(address) - (numberOf(address) % size)
        const allow = parseAllowList(`${dotted(base)}/${bits}`)
        const isInside = numberOf(other) >= base && numberOf(other) < base + size
        expect(whyUrlIsForbidden(`http://${dotted(base + (offset % size))}/`, allow)).toBeUndefined()
        expect(whyUrlIsForbidden(`http://${other}/`, allow) === undefined).toBe(isInside)
        expect(whyUrlIsForbidden(`https://[::ffff:${other}]/`, allow)).toBeTypeOf('string')
      }),
    )
  })

  it('an allowed address with a port opens that port only', () => {
    const port = fc.integer({ min: 1, max: 65_535 })
    fc.assert(
      fc.property(privateAddress, port, port, (address, allowed, other) => {
        const allow = parseAllowList(`${address}:${allowed}`)
        expect(whyUrlIsForbidden(`http://${address}:${allowed}/`, allow)).toBeUndefined()
        expect(whyUrlIsForbidden(`http://${address}:${other}/`, allow) === undefined).toBe(other === allowed)
      }),
    )
  })

  it('text that is no URL or no allow list gives a reason or a TypeError, nothing else', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const reason = whyUrlIsForbidden(text, nothing)
        expect(reason === undefined || reason.length > 0).toBe(true)
        expect(whyAddressIsForbidden(text, anyTarget, nothing) === undefined).toBe(false)
        expect(errorOf(() => parseAllowList(text))).toSatisfy((e) => e === undefined || e instanceof TypeError)
      }),
    )
  })
})

function errorOf(run: () => unknown): unknown {
  try {
    run()
    return undefined
  } catch (error) {
    return error
  }
}

function partsOf(address: string): number[] {
  return address.split('.').map(Number)
}

function numberOf(address: string): number {
  return partsOf(address).reduce((sum, part) => sum * 256 + part, 0)
}

function dotted(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
}

function hexWords(address: string): string {
  const number = numberOf(address)
  return `${Math.floor(number / 2 ** 16).toString(16)}:${(number % 2 ** 16).toString(16)}`
}
