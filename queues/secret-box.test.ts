import { expect, it } from 'vitest'
import { SecretBox } from './secret-box.ts'

const box = new SecretBox('a secret of an installation, long enough')

it('opens what it has sealed, and shows nothing of it', () => {
  const sealed = box.seal('whsec_ü', 'row')
  expect(sealed).toMatch(/^v1\.[\w-]+$/)
  expect(sealed).not.toContain('whsec')
  expect(box.open(sealed, 'row')).toBe('whsec_ü')
  expect(box.seal('whsec_ü', 'row')).not.toBe(sealed)
})

it.each<[string, (sealed: string) => string]>([
  ['for another row', () => box.open(box.seal('x', 'row'), 'another')],
  ['under another secret', (sealed) => new SecretBox('another').open(sealed, 'row')],
  [
    'and changed since',
    (sealed) =>
      box.open(
        sealed.replace(/.(?=....$)/, (one) => (one === 'A' ? 'B' : 'A')),
        'row',
      ),
  ],
  ['and cut short', (sealed) => box.open(sealed.slice(0, 20), 'row')],
  ['in a form that is not known', (sealed) => box.open(sealed.replace('v1.', 'v2.'), 'row')],
  ['by nobody', () => box.open('', 'row')],
])('does not open what was sealed %s', (_how, open) => {
  expect(() => open(box.seal('x', 'row'))).toThrow('JOBYARD_SECRET')
})
