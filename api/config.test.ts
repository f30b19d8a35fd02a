import { expect, it } from 'vitest'
import { readConfig } from './config.ts'

const needed = {
  DATABASE_URL: 'postgres://localhost/jobyard',
  JOBYARD_SECRET: 'a secret of tests, with 32 letters',
  JOBYARD_ADMIN_KEY: 'an admin key of tests, with 32 letters',
}

it('lets no other site in, believes no proxy and takes no tokens unless it is told to', () => {
  expect(readConfig(needed)).toMatchObject({ CORS_ORIGINS: [], TRUSTED_PROXIES: [], jwt: undefined })
})

it.each([
  ['https://app.example, http://localhost:5173', ['https://app.example', 'http://localhost:5173']],
  ['https://app.example/', undefined],
  ['https://app.example/path', undefined],
  ['app.example', undefined],
  ['*', undefined],
  ['https://app.example,*', undefined],
  ['null', undefined],
])('CORS_ORIGINS %s', (CORS_ORIGINS, origins) => {
  const read = () => readConfig({ ...needed, CORS_ORIGINS }).CORS_ORIGINS
  if (origins) expect(read()).toEqual(origins)
  else expect(read).toThrow(/CORS_ORIGINS may name only origins/)
})

it.each([
  ['10.0.0.7, 10.1.0.0/16, fd00::/8', ['10.0.0.7', '10.1.0.0/16', 'fd00::/8']],
  ['10.0.0.0/33', undefined],
  ['10.0.0.0/', undefined],
  ['10.0.0.0/8/8', undefined],
  ['proxy', undefined],
  ['true', undefined],
  ['*', undefined],
])('TRUSTED_PROXIES %s', (TRUSTED_PROXIES, proxies) => {
  const read = () => readConfig({ ...needed, TRUSTED_PROXIES }).TRUSTED_PROXIES
  if (proxies) expect(read()).toEqual(proxies)
  else expect(read).toThrow(/TRUSTED_PROXIES may name only addresses/)
})

it('says in one line what half of the configuration of tokens lacks', () => {
  const half = { ...needed, JOBYARD_JWT_ISSUER: 'https://issuer.example' }
  expect(() => readConfig(half)).toThrow(/^Bad configuration: for JWTs set [^\n]+$/)
})
