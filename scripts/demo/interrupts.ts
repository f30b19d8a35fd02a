/**
 * One Ctrl-C may come twice through npm: from the terminal, and passed on by npm itself.
 * Signals closer than this are one, in milliseconds.
 */
const sameWithinMs = 500

/**
 * Listens to Ctrl-C and SIGTERM.
 *
 * @param onInterrupt told how often the user has asked by now, from 1.
 */
export function watchInterrupts(onInterrupt: (times: number) => void): void {
  let times = 0
  let lastAt = Number.NEGATIVE_INFINITY
  const onSignal = () => {
    const now = performance.now()
    const isSame = now - lastAt < sameWithinMs
    lastAt = now
    if (isSame) return
    times += 1
    onInterrupt(times)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
}
