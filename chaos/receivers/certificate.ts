import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** What a server shows of itself, and what it proves it with, as PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/**
 * Makes a certificate for 127.0.0.1 that is signed by its own key (RFC 5280, RFC 8410); those trust it who name it among their authorities.
 *
 * @param from moment from which it is valid. @param until moment from which it is not any more.
 */
export function makeCertificate(from: Date, until: Date): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const algorithm = sequence(ed25519)
  const name = sequence(element(tags.set, sequence(commonName, element(tags.utf8, Buffer.from('receiver')))))
  const addresses = sequence(element(tags.address, Buffer.from([127, 0, 0, 1])))
  const extensions = sequence(sequence(subjectAlternativeName, element(tags.octets, addresses)))
  const content = sequence(
    element(tags.version, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    name,
    sequence(time(from), time(until)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    element(tags.extensions, extensions),
  )
  const signature = element(tags.bits, Buffer.from([0]), sign(null, content, privateKey))
  return {
    cert: pem(sequence(content, algorithm, signature)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** Of X.690, and of the fields of a certificate that are numbered. */
const tags = {
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
  address: 0x87,
  version: 0xa0,
  extensions: 0xa3,
} as const

const ed25519 = element(tags.oid, Buffer.from([0x2b, 0x65, 0x70]))
const commonName = element(tags.oid, Buffer.from([0x55, 0x04, 0x03]))
const subjectAlternativeName = element(tags.oid, Buffer.from([0x55, 0x1d, 0x11]))

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return element(tags.sequence, ...parts)
}

function integer(bytes: Uint8Array): Buffer {
  return element(tags.integer, bytes)
}

function time(moment: Date): Buffer {
  const [digits = ''] = moment.toISOString().replaceAll(/[-:T]/g, '').split('.')
  return element(tags.time, Buffer.from(`${digits}Z`))
}

function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), lengthOf(content), content])
}

function lengthOf({ length }: Uint8Array): Buffer {
  if (length < 0x80) return Buffer.from([length])
  return length < 0x1_00 ? Buffer.from([0x81, length]) : Buffer.from([0x82, length >> 8, length & 0xff])
}

function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
