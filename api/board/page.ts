/** Keeps the board's pages out of other sites' frames and free of anything that is not served here. */
export const pageHeaders = {
  'content-security-policy':
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
} as const

/** Of a job: duplicate, edit, reschedule, change priority; and cancel where the job has ended: a failed job can be redriven, a completed one not edited. */
const hiddenJobButtons = `
  [class*=jobActions] li:has(:is(.lucide-files, .lucide-pencil, .lucide-clock)),
  [class*=jobActions]:has(.lucide-refresh-cw) li:has(.lucide-trash2),
  [class*=jobActions]:not(:has(.lucide-pencil)) li:has(.lucide-trash2)`
/** Of a queue: everything that means all jobs of a tab; add, retry all, empty and obliterate. */
const hiddenQueueButtons = `
  [class*=queueActions],
  [role=menuitem]:has(> :is(.lucide-plus, .lucide-refresh-cw, .lucide-trash2, .lucide-ban))`
/** Tabs that nothing of the record goes to, and the row that calls the record a kind of Bull. */
const hiddenNotions = `
  [class*=statusTabs] li:has(> a:is([href$='=waiting-children'], [href$='=prioritized'], [href$='=paused'])),
  [role=dialog] dl > div:nth-child(2)`
const style = `${hiddenJobButtons}, ${hiddenQueueButtons}, ${hiddenNotions} { display: none !important; }`

/** Takes the fonts of another host out of Bull Board's page, and hides the buttons that the board refuses; leaves anything else as it is. */
export function dressPage(contentType: unknown, payload: unknown): unknown {
  if (typeof payload !== 'string' || !String(contentType).startsWith('text/html')) return payload
  return payload.replace(/<link href="https:\/\/fonts[^>]*>/, '').replace('</head>', `<style>${style}</style></head>`)
}
