import { githubEvent as contract } from '@jobyard/queues/contracts/github-event'
import examples from '@octokit/webhooks-examples'
import { describe, expect, it } from 'vitest'
import { describeGithubEvent } from './github-event.ts'

const payloads = (examples as unknown as { name: string; examples: Record<string, unknown>[] }[]).flatMap(
  ({ name, examples: given }) => given.map((payload, index) => ({ title: `${name} ${index}`, event: name, payload })),
)

describe('every example of a GitHub webhook', () => {
  it('is there', () => {
    expect(payloads.length).toBeGreaterThan(300)
  })

  it.each(payloads)('$title is described', ({ event, payload }) => {
    const input = contract.input.parse({ event, payload })
    const { repository, action } = describeGithubEvent(input)
    const found = payload['repository'] as { full_name: string } | undefined
    expect(action).toBe(payload['action'])
    expect(repository).toMatch(found ? /^[\w-]+\/[\w.-]+$/ : /^(\(none\)|[\w-]+)$/)
    expect(found?.full_name ?? repository).toBe(repository)
    const output = action === undefined ? { repository } : { repository, action }
    expect(contract.output.safeParse(output).success).toBe(true)
  })

  it('that belongs to no repository is filed under an account, or under "(none)"', () => {
    const homeless = payloads.filter(({ payload }) => payload['repository'] === undefined)
    const filed = new Set(homeless.map((input) => `${input.event}: ${describeGithubEvent(input).repository}`))
    expect([...filed].toSorted()).toMatchInlineSnapshot(`
      [
        "github_app_authorization: (none)",
        "installation: Codertocat",
        "installation: octocat",
        "installation_repositories: Codertocat",
        "installation_repositories: octocat",
        "marketplace_purchase: (none)",
        "membership: Octocoders",
        "org_block: Octocoders",
        "organization: Octocoders",
        "ping: Octocoders",
        "projects_v2_item: Octocoders",
        "projects_v2_item: github",
        "security_advisory: (none)",
        "sponsorship: (none)",
        "team: Octocoders",
      ]
    `)
  })
})

describe('a payload that GitHub would not send', () => {
  it.each([
    [{}],
    [{ repository: null }],
    [{ repository: [] }],
    [{ repository: { full_name: 7 } }],
    [{ repository: { full_name: 'nul\0/x' } }],
    [{ repository: { full_name: 'a/b/c' } }],
    [{ repository: { full_name: 'x'.repeat(300) } }],
    [{ repository: { full_name: "'; drop table jobs --" } }],
    [{ action: { deep: true } }],
    [{ action: 'two words' }],
  ])('%j is filed under "(none)", without an action', (payload) => {
    expect(describeGithubEvent({ event: 'push', payload })).toEqual({ repository: '(none)', event: 'push' })
  })
})
