import { beService } from '../accept/service.ts'
import { takePrecedence } from '../latency/precedence.ts'
import { ArrivalLog } from './arrivals.ts'
import { followStream, type FollowedStream } from './follower.ts'

/** Asks for the moments at which so many events came, once all of them have; then it begins anew. */
export interface ArrivalsQuestion {
  readonly events: number
  readonly timeoutMs: number
}

takePrecedence()
const stream = await beService<FollowedStream>()
const arrivals = new ArrivalLog()
await followStream(stream, (_, data) => arrivals.note((JSON.parse(data) as { data: { id: string } }).data.id))
process.on('message', ({ events, timeoutMs }: ArrivalsQuestion) => {
  void arrivals.wait(events, timeoutMs).then(() => process.send?.(arrivals.take()))
})
process.send?.({})
