/** Lines that explain nothing: the frames and excerpts of a stack trace, and the runtime's signature. */
const noise = /^\s|^node:|^file:|^[})\]]|^Node\.js v/

/**
 * @param log what a process wrote, in plain lines and in the logger's JSON lines.
 * @returns the last line that says why it ended; undefined when none does.
 */
export function lastWords(log: string): string | undefined {
  return log
    .split('\n')
    .filter((line) => line !== '' && !noise.test(line))
    .map(plain)
    .findLast((line) => line !== undefined)
}

/** A warning or worse in words; nothing of the lines that only report. */
function plain(line: string): string | undefined {
  const entry = parseEntry(line)
  if (!entry) return line
  return Number(entry.level) >= 40 ? [entry.msg, entry.err?.message].filter(Boolean).join(': ') : undefined
}

interface LogEntry {
  readonly level?: number
  readonly msg?: string
  readonly err?: { readonly message?: string }
}

function parseEntry(line: string): LogEntry | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as LogEntry
  } catch {
    return undefined
  }
}
