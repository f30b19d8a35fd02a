import { fork } from 'node:child_process'
import { once } from 'node:events'

/** A program of ours that runs until it is stopped. */
export interface Service<Report> {
  /** What it said once it worked. */
  readonly report: Report
  readonly pid: number
  /** Asks it something. @returns what it says next. */
  ask<Answer>(question: object): Promise<Answer>
  stop(): Promise<void>
}

export interface ServiceOptions {
  /** What the program is told by {@link beService}. */
  readonly task?: object
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Starts a program in a process of its own, which ends with this one. What it prints goes to our standard error.
 *
 * @throws Error when it ends before it says that it works.
 */
export async function startService<Report>(file: URL, { task, env }: ServiceOptions): Promise<Service<Report>> {
  const child = fork(file, {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 2, 2, 'ipc'],
    env: { PATH: process.env.PATH ?? '', NODE_ENV: 'production', ...env },
  })
  const died = once(child, 'exit').then(([code]): never => {
    throw new Error(`${file.pathname.split('/').slice(-2).join('/')} ended with ${code}`)
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  died.catch(() => process.off('exit', kill))
  const nextMessage = async () => ((await Promise.race([once(child, 'message'), died])) as [unknown])[0]
  if (task) child.send(task)
  return {
    report: (await nextMessage()) as Report,
    pid: child.pid ?? 0,
    ask: async <Answer>(question: object) => {
      child.send(question)
      return (await nextMessage()) as Answer
    },
    stop: async () => {
      child.kill('SIGKILL')
      await died.catch(() => {})
    },
  }
}

/** The program's side of {@link startService}: returns its task. It ends with its parent. */
export async function beService<Task>(): Promise<Task> {
  process.once('disconnect', () => process.exit())
  const [task] = (await once(process, 'message')) as [Task]
  return task
}
