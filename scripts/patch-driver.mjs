/*
 * Mends the driver `postgres` after its installation, where a connection that is lost at a bad moment would end the process, give
 * a statement that was never sent an empty result, or run it on another connection: see docs/decisions/0011-a-patched-driver.md. Plain
 * JavaScript, since npm may run it with an older Node. Does nothing where it has been done.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const connection = [
  {
    why: 'There may be no connection any more when the time to write has come: what was to be written fails, not the process.',
    old: `    const x = socket.write(chunk, fn)
`,
    new: `    if (!socket) {
      chunk = nextWriteTimer = null
      error(Errors.connection('CONNECTION_CLOSED', options))
      return false
    }
    const x = socket.write(chunk, fn)
`,
  },
  {
    why: 'What was about to be written belongs to the connection that is gone; kept, it would go ahead of the next one’s greeting.',
    old: `    incomings = null
    clearImmediate(nextWriteTimer)
    socket.removeListener('data', data)`,
    new: `    incomings = null
    clearImmediate(nextWriteTimer)
    nextWriteTimer = chunk = null
    socket.removeListener('data', data)`,
  },
  {
    why: 'Statements that were taken between the error and its close were never sent: they fail, and are no longer under way.',
    old: `    !hadError && (query || sent.length) && error(Errors.connection('CONNECTION_CLOSED', options, socket))
`,
    new: `    ;(query || sent.length) && error(Errors.connection('CONNECTION_CLOSED', options, socket))
    query = results = errorResponse = null
    result = new Result()
`,
  },
  {
    why: 'A server that closes while it is greeted is greeted again, but not at once and for ever.',
    old: `    if (initial)
      return reconnect()
`,
    new: `    if (initial) {
      closedTime = performance.now()
      delay = (typeof backoff === 'function' ? backoff(++options.shared.retries) : backoff) * 1000
      return reconnect()
    }
`,
  },
  {
    why: 'The first statement of a connection waits for this one, and fails with it; nobody else hears of it.',
    old: `        return fetchArrayTypes()
`,
    new: `        return fetchArrayTypes().catch(() => {})
`,
  },
  {
    why: 'A connection that is terminated is not made again, although it was about to be.',
    old: `  function reconnect() {
    setTimeout(connect, `,
    new: `  function reconnect() {
    reconnectTimer = setTimeout(connect, `,
  },
  {
    why: 'The timer of the one above.',
    old: `    , nextWriteTimer = null
`,
    new: `    , nextWriteTimer = null
    , reconnectTimer = null
`,
  },
  {
    why: 'The end of the same.',
    old: `    clearImmediate(nextWriteTimer)
    if (socket) {
`,
    new: `    clearImmediate(nextWriteTimer)
    clearTimeout(reconnectTimer)
    if (socket) {
`,
  },
  {
    why: 'A connection that is terminated while it is being made is not made.',
    old: `      socket.readyState === 'open' && socket.end(b().X().end())
`,
    new: `      socket.readyState === 'opening' ? socket.destroy() : socket.readyState === 'open' && socket.end(b().X().end())
`,
  },
]
const client = [
  {
    why: 'What waits for its turn when the client ends fails; it would be run once more connections are made, outside its transaction.',
    old: `    await 1
    let timer
`,
    new: `    await 1
    while (queries.length)
      queries.shift().reject(Errors.connection('CONNECTION_ENDED', options, options))
    let timer
`,
  },
]

/** Replaces exact lines, each found once, in a file of the driver; leaves those that have been replaced. */
function mend(name, replacements) {
  const file = fileURLToPath(new URL(name, import.meta.resolve('postgres')))
  const source = readFileSync(file, 'utf8')
  const mended = replacements.reduce((text, { why, old, new: better }) => {
    if (text.includes(better)) return text
    if (text.split(old).length !== 2) throw new Error(`The driver is not the one that this mends (${why})`)
    return text.replace(old, () => better)
  }, source)
  if (mended === source) return
  writeFileSync(`${file}.new`, mended)
  renameSync(`${file}.new`, file)
}

mend('connection.js', connection)
mend('index.js', client)
