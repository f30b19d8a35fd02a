import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'

/** One webhook as GitHub sent it. */
export interface GithubPayload {
  readonly event: string
  readonly payload: Record<string, unknown>
}

/** Payloads of github.com, and of five releases of GitHub Enterprise Server. */
const collections = ['api.github.com', 'ghes-31', 'ghes-32', 'ghes-33', 'ghes-34', 'ghes-35']

/** Reads the real webhook payloads that the package `@octokit/webhooks-examples` holds, all of them. */
export async function readGithubPayloads(): Promise<GithubPayload[]> {
  const { resolve } = createRequire(import.meta.url)
  const texts = await Promise.all(
    collections.map((name) => readFile(resolve(`@octokit/webhooks-examples/${name}/index.json`), 'utf8')),
  )
  return texts
    .flatMap((text) => JSON.parse(text) as { name: string; examples: Record<string, unknown>[] }[])
    .flatMap(({ name, examples }) => examples.map((payload) => ({ event: name, payload })))
}

/** @returns the repository that a payload names itself, or undefined when it names none. */
export function repositoryOf(payload: GithubPayload['payload']): string | undefined {
  return (payload['repository'] as { full_name?: string } | undefined)?.full_name
}
