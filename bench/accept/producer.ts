import { submissionSchema } from '@jobyard/api/schemas'
import { echo } from '@jobyard/queues/contracts/echo'
import Fastify from 'fastify'
import { validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { intakes, type Input, type Place, type Rival } from './rivals.ts'
import { beService } from './service.ts'

/** Task of a service as people write it around a queue: the platform's routes for submitting, with the platform's validation. */
export interface ProducerTask {
  readonly place: Place
  /** Where the jobs go; absent: nowhere, which shows what the route alone costs. */
  readonly rival?: Rival | undefined
}

/** Largest body of a batch, in bytes; the platform's. */
const bodyLimit = 16 * 1_048_576

const { place, rival } = await beService<ProducerTask>()
const intake = rival && (await intakes[rival](place))
const app = Fastify({ bodyLimit }).withTypeProvider<ZodTypeProvider>()
app.setValidatorCompiler(validatorCompiler)
app.setSerializerCompiler(() => (data) => JSON.stringify(data))

app.post('/v1/jobs', { schema: { body: submissionSchema } }, async (request, reply) => {
  const input = parseInput(request.body.input)
  const id = intake ? await intake.add(input) : request.id
  return reply.code(202).send({ id })
})

const batchSchema = z.strictObject({ jobs: z.array(submissionSchema).min(1).max(1_000) })
app.post('/v1/jobs/batch', { schema: { body: batchSchema } }, async (request, reply) => {
  const inputs = request.body.jobs.map((job) => parseInput(job.input))
  await intake?.addMany(inputs)
  return reply.code(202).send({ accepted: inputs.length })
})

function parseInput(input: unknown): Input {
  return echo.input.parse(input)
}

process.send?.({ listening: await app.listen({ host: '127.0.0.1', port: 0 }) })
