import { MultiBar, type SingleBar } from 'cli-progress'

/** How far the jobs of each type are, in front of the user. */
export interface Progress {
  /** One more job of the type was accepted. */
  accepted(type: string): void
  /** So many jobs of each type have ended. */
  ended(counts: ReadonlyMap<string, number>): void
  /** Shows a line that is not about progress. */
  say(line: string): void
  stop(): void
}

/** Time between two lines where there is no terminal, in milliseconds. */
const lineEveryMs = 2_000

/**
 * Shows progress: bars on a terminal, else a plain line every two seconds and one at the end.
 *
 * @param totals jobs that are planned, by type.
 */
export function showProgress(
  totals: ReadonlyMap<string, number>,
  stream: NodeJS.WriteStream = process.stdout,
): Progress {
  return stream.isTTY && process.env.TERM !== 'dumb' ? showBars(totals, stream) : writeLines(totals, stream)
}

function showBars(totals: ReadonlyMap<string, number>, stream: NodeJS.WriteStream): Progress {
  const bars = new MultiBar({
    stream,
    format: '  {type} {bar} {value}/{total} ended, {accepted} accepted',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    gracefulExit: false,
    forceRedraw: true,
  })
  const width = Math.max(...[...totals.keys()].map((type) => type.length))
  const byType = new Map<string, SingleBar>()
  const acceptedOf = new Map<string, number>()
  for (const [type, total] of totals) byType.set(type, bars.create(total, 0, { type: type.padEnd(width), accepted: 0 }))
  return {
    accepted: (type) => {
      acceptedOf.set(type, (acceptedOf.get(type) ?? 0) + 1)
      byType.get(type)?.update({ accepted: acceptedOf.get(type) })
    },
    ended: (counts) => counts.forEach((count, type) => byType.get(type)?.update(count)),
    say: (line) => {
      bars.log(`${line}\n`)
      bars.update()
    },
    stop: () => bars.stop(),
  }
}

function writeLines(totals: ReadonlyMap<string, number>, stream: NodeJS.WritableStream): Progress {
  const total = [...totals.values()].reduce((sum, count) => sum + count, 0)
  let accepted = 0
  let ended = 0
  const write = () => stream.write(`  ${accepted} of ${total} jobs accepted, ${ended} ended\n`)
  const timer = setInterval(write, lineEveryMs)
  return {
    accepted: () => {
      accepted += 1
    },
    ended: (counts) => {
      ended = [...counts.values()].reduce((sum, count) => sum + count, 0)
    },
    say: (line) => stream.write(`${line}\n`),
    stop: () => {
      clearInterval(timer)
      write()
    },
  }
}
