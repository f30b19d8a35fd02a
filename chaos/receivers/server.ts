import { Desk, witnessName, type Certificates, type ReceiverSpec } from './desk.ts'

/*
 * Receivers of every kind in a process of their own, so that what they have to do is not in the way of who judges them. Started and
 * told what to do by receivers.ts; ends with its parent.
 */

/** What this process can be asked. */
export type Order =
  | { readonly ask: 'open'; readonly specs: readonly ReceiverSpec[]; readonly certificates: Certificates }
  | { readonly ask: 'believe'; readonly name: string; readonly secret: string }
  | { readonly ask: 'release'; readonly name: string }
  | { readonly ask: 'counts' }
  | { readonly ask: 'read'; readonly name: string }

const desks = new Map<string, Desk>()

process.on('message', ({ number, order }: { number: number; order: Order }) => {
  void obey(order).then((answer) => process.send?.({ number, answer }))
})
process.once('disconnect', () => process.exit())

async function obey(order: Order): Promise<unknown> {
  if (order.ask === 'open') return open(order.specs, order.certificates)
  if (order.ask === 'counts') return new Map([...desks].map(([name, { count }]) => [name, count]))
  const desk = desks.get(order.name)
  if (order.ask === 'believe') desk?.believe(order.secret)
  if (order.ask === 'release') desk?.release()
  return order.ask === 'read' ? desk?.read() : undefined
}

/** @returns the URL of each. */
async function open(specs: readonly ReceiverSpec[], certificates: Certificates): Promise<Map<string, string>> {
  const witness = await Desk.open({ name: witnessName, kind: 'healthy' }, certificates, '')
  desks.set(witnessName, witness)
  for (const spec of specs) desks.set(spec.name, await Desk.open(spec, certificates, witness.url))
  return new Map([...desks].map(([name, { url }]) => [name, url]))
}
