/** @returns those of the moments that are known, as RFC 3339. */
export function instants<Name extends string>(dates: Record<Name, Date | null>): Partial<Record<Name, string>> {
  const known = Object.entries<Date | null>(dates).flatMap(([name, date]) => (date ? [[name, date.toISOString()]] : []))
  return Object.fromEntries(known) as Partial<Record<Name, string>>
}
