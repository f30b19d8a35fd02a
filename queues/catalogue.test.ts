import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { catalogue, createCatalogue } from './catalogue.ts'
import { defineJob } from './define-job.ts'

function contract(type: string, options: { queue?: string; internal?: boolean } = {}) {
  return defineJob({ type, description: type, input: z.strictObject({}), output: z.strictObject({}), ...options })
}

describe('the built-in catalogue', () => {
  it('holds the built-in types, each on its queue', () => {
    expect(catalogue.contracts.map(({ type, queue }) => [type, queue])).toEqual([
      ['echo', 'default'],
      ['http.request', 'http'],
      ['email.send', 'email'],
      ['image.thumbnail', 'images'],
      ['github.event', 'github'],
      ['webhook.deliver', 'webhooks'],
    ])
  })

  it.each(catalogue.contracts)('describes $type and gives it strict shapes that OpenAPI can show', (known) => {
    expect(known.description.length).toBeGreaterThan(20)
    for (const [schema, io] of [
      [known.input, 'input'],
      [known.output, 'output'],
    ] as const) {
      expect(z.toJSONSchema(schema, { io })).toMatchObject({ type: 'object', additionalProperties: false })
    }
  })
})

describe('a catalogue', () => {
  const internal = contract('mail.internal', { queue: 'mail', internal: true })
  const known = createCatalogue([contract('mail.send', { queue: 'mail' }), internal, contract('other')])

  it('finds internal types, but does not list them', () => {
    expect(known.get('mail.internal')).toBe(internal)
    expect(known.get('mail')).toBeUndefined()
    expect(known.types).toEqual(['mail.send', 'other'])
  })

  it('lists each queue once', () => {
    expect(known.queues).toEqual(['mail', 'default'])
  })

  it('refuses two contracts of one type', () => {
    expect(() => createCatalogue([contract('a'), contract('b'), contract('a')])).toThrow(
      'Two contracts have the type a',
    )
  })
})
