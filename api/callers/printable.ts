/** @returns the beginning of a text without what Postgres may refuse, or what would mislead who reads it. */
export function printable(text: string, longest: number): string {
  return text
    .slice(0, longest)
    .toWellFormed()
    .replaceAll(/\p{Cc}|\p{Bidi_Control}/gu, '\ufffd')
}
