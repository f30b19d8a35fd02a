import { fork } from 'node:child_process'
import { once } from 'node:events'

/** How much of what a child printed is told when it fails, in characters. */
const printedKept = 4_000

/**
 * Runs a program of ours in a process of its own, which answers one request by {@link answerParent} and ends.
 *
 * @param file the program, a `.ts` file.
 * @param request JSON for the program.
 * @throws Error with what the child printed when it ends without an answer, or is killed for its time being up.
 */
export async function runChild<Answer>(file: URL, request: object, timeoutMs: number): Promise<Answer> {
  const child = fork(file, { execArgv: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: environment() })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (printed = (printed + text).slice(-printedKept)))
  }
  let answer: { value: Answer } | undefined
  child.on('message', (message) => (answer = message as { value: Answer }))
  const tooLong = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  child.send(request)
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(tooLong)
  if (answer && code === 0) return answer.value
  const ending = signal ? `was ended by ${signal}; it had ${timeoutMs / 1_000} s` : `ended with ${code}`
  throw new Error(`A child process ${ending}. It had printed:\n${printed.trim() || 'nothing'}`)
}

/** The child's side of {@link runChild}: answers the parent's request, then ends, whatever is still open. */
export function answerParent<Request, Answer>(answer: (request: Request) => Promise<Answer>): void {
  process.once('disconnect', () => process.exit(1))
  process.once('message', (request: Request) => {
    answer(request).then(
      (value) => process.send?.({ value }, () => process.exit(0)),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`, () => process.exit(1))
      },
    )
  })
}

function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH ?? '', NODE_ENV: 'production' }
}
