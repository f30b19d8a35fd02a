import { expect, it, onTestFinished } from 'vitest'
import { launchChromium } from '../testing/chromium.ts'
import { openEdge } from '../testing/edge.ts'
import { adminKey } from '../testing/platform.ts'

it('On the page of the documentation a first job can be submitted, and a browser finds nothing to complain of', async () => {
  const edge = await openEdge('postgres')
  onTestFinished(() => edge.stop())
  const browser = await launchChromium()
  onTestFinished(() => browser.close())
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', ({ message }) => complaints.push(message))

  await page.goto(`http://127.0.0.1:${edge.port}/docs`)
  await page.click('.btn.authorize')
  const login = page.locator('.auth-container', { hasText: 'http, Bearer' })
  await login.locator('input').fill(adminKey)
  await login.locator('button.authorize').click()
  await page.locator('.btn-done').first().click()
  const operation = page.locator('#operations-jobs-submitJob')
  await operation.locator('.opblock-summary-control').click()
  await operation.locator('.try-out__btn').click()
  await operation.locator('.execute').click()

  const answer = operation.locator('.live-responses-table')
  await answer.locator('td.response-col_status', { hasText: '202' }).waitFor()
  expect(await answer.innerText()).toMatch(/"type": "echo"[^]*"value": "hello"/)
  expect(complaints).toEqual([])
})
