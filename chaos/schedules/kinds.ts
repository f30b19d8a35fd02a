import type { MissedPolicy, OverlapPolicy, ScheduleRule } from '@jobyard/db/schedules'
import type { Random } from '../random.ts'

/** A schedule of the simulation. */
export interface SimulatedSchedule {
  readonly name: string
  readonly rule: ScheduleRule
  readonly jitterMs: number
  readonly missed: MissedPolicy
  readonly missedMax: number
  readonly overlap: OverlapPolicy
}

const zones = ['UTC', 'Europe/Berlin', 'Asia/Beirut', 'America/New_York', 'Asia/Kathmandu', 'Australia/Sydney']
const hourMs = 3_600_000

/** Draws schedules of all kinds: cron of minutes, hours and seconds, of zones whose clocks are moved, and intervals. */
export function drawSchedules(random: Random, count: number, start: Date): SimulatedSchedule[] {
  return Array.from({ length: count }, (_, index) => {
    const missed = random.pick(['skip', 'once', 'all'] as const)
    const overlap = random.pick(['allow', 'allow', 'skip', 'cancel-previous'] as const)
    const rule = { ...drawRule(random), ...drawBounds(random, start) }
    const jitterMs = random.chance(25) ? random.int(1, 4_000) : 0
    return { name: `s${index}`, rule, jitterMs, missed, missedMax: random.int(1, 20), overlap }
  })
}

function drawRule(random: Random): ScheduleRule {
  const timeZone = random.pick(zones)
  const minute = random.int(0, 59)
  const cron = random.pick([
    `*/${random.pick([5, 10, 15, 20])} * * * *`,
    `${minute} * * * *`,
    `${minute} */${random.pick([2, 3, 4])} * * *`,
    `${minute} ${random.int(0, 3)} * * *`,
    `${random.int(0, 29)},${random.int(30, 59)} 1-3 * * *`,
    `0 0 * * *`,
    `30 2 * * *`,
    `*/7 ${random.int(0, 20)}-23 * * *`,
  ])
  const skipped = random.pick(['after', 'drop', undefined] as const)
  const repeated = random.pick(['auto', 'once', 'twice', undefined] as const)
  return random.pick<ScheduleRule>([
    { cron, timeZone, skipped, repeated },
    { cron, timeZone, skipped, repeated },
    { cron: `${random.int(0, 59)} ${cron}`, seconds: true, timeZone },
    { everyMs: random.pick([45_000, 61_000, 300_000, 754_321, 3_600_000, 21_600_000]) },
  ])
}

function drawBounds(random: Random, start: Date): Pick<ScheduleRule, 'startsAt' | 'endsAt'> {
  const hoursLater = (hours: number) => new Date(start.getTime() + hours * hourMs).toISOString()
  return {
    ...(random.chance(15) && { startsAt: hoursLater(random.int(1, 6)) }),
    ...(random.chance(15) && { endsAt: hoursLater(random.int(12, 23)) }),
  }
}
