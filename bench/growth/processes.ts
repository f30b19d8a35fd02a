import { readdir, readFile } from 'node:fs/promises'

/** What Linux tells about a process in `/proc/<pid>/stat`. */
export interface ProcessStat {
  readonly parent: number
  /** CPU time of its own, in seconds. */
  readonly cpu: number
  /** CPU time of those of its children that have ended, and of theirs, in seconds. */
  readonly cpuOfEnded: number
}

/** Memory of processes, in bytes. */
export interface Memory {
  readonly bytes: number
  /** Whether pages that several processes share are counted once (PSS); else each process counts them (RSS). */
  readonly sharedOnce: boolean
}

/** Linux tells every program times in hundredths of a second, whatever its own clock does. */
const ticksPerSecond = 100

/** @throws Error where the system does not tell about processes as this file reads it. */
export function expectProc(): void {
  if (process.platform !== 'linux')
    throw new Error('Growth reads memory and CPU time from /proc, which only Linux has.')
}

/** Reads a `/proc/<pid>/stat`. The name of the program, in parentheses, may hold anything. */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [parent = NaN, own = NaN, ownSystem = NaN, ended = NaN, endedSystem = NaN] = [1, 11, 12, 13, 14].map((at) =>
    Number(fields[at]),
  )
  const stat = {
    parent,
    cpu: (own + ownSystem) / ticksPerSecond,
    cpuOfEnded: (ended + endedSystem) / ticksPerSecond,
  }
  if (Object.values(stat).some(Number.isNaN)) throw new Error(`This tells nothing about a process: ${text}`)
  return stat
}

/**
 * Reads a size from `/proc/<pid>/smaps_rollup` or `/proc/<pid>/status`.
 *
 * @param name of the line, such as `Pss` or `VmRSS`.
 * @returns bytes.
 */
export function parseSize(text: string, name: string): number {
  const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
  if (kibibytes === undefined) throw new Error(`There is no ${name} in: ${text}`)
  return Number(kibibytes) * 1_024
}

/** @returns CPU seconds that a process has used, its ended children included. */
export async function readCpu(pid: number): Promise<number> {
  const { cpu, cpuOfEnded } = await readStat(pid)
  return cpu + cpuOfEnded
}

/** @returns CPU seconds that a process and its children have used, those included that have ended. */
export async function readCpuOfFamily(pid: number): Promise<number> {
  const family = [pid, ...(await listChildren(pid))]
  const seconds = await Promise.all(family.map((member) => ignoreEnded(readCpu(member), 0)))
  return seconds.reduce((sum, each) => sum + each, 0)
}

/** @returns resident memory of a process, in bytes. */
export async function readResident(pid: number): Promise<number> {
  return parseSize(await readFile(`/proc/${pid}/status`, 'utf8'), 'VmRSS')
}

/** @returns memory of a process and its children; shared pages count once if this user may know. */
export async function readMemoryOfFamily(pid: number): Promise<Memory> {
  const family = [pid, ...(await listChildren(pid))]
  const sum = async (read: (member: number) => Promise<number>) => {
    const sizes = await Promise.all(family.map((member) => ignoreEnded(read(member), 0)))
    return sizes.reduce((total, size) => total + size, 0)
  }
  try {
    return { bytes: await sum(readShare), sharedOnce: true }
  } catch {
    return { bytes: await sum(readResident), sharedOnce: false }
  }
}

async function readShare(pid: number): Promise<number> {
  return parseSize(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'), 'Pss')
}

async function readStat(pid: number): Promise<ProcessStat> {
  return parseStat(await readFile(`/proc/${pid}/stat`, 'utf8'))
}

async function listChildren(pid: number): Promise<number[]> {
  const all = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const parents = await Promise.all(
    all.map((each) =>
      ignoreEnded(
        readStat(each).then(({ parent }) => parent),
        undefined,
      ),
    ),
  )
  return all.filter((_, at) => parents[at] === pid)
}

/** A process may end while it is looked at. */
async function ignoreEnded<Value, Instead>(reading: Promise<Value>, instead: Instead): Promise<Value | Instead> {
  return reading.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return instead
    throw error
  })
}
