// A producer in Node: sends two messages of a user, in JSON and in Avro.
//
//     npm ci
//     node produce.mjs a3cp.raw 127.0.0.1:9092

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import avro from 'avsc'
import { Kafka, Partitioners, logLevel } from 'kafkajs'

const SCHEMA = JSON.parse(readFileSync(new URL('../../schemas/avro/A3CPMessage.avsc', import.meta.url)))
const HEADER = Buffer.from('c301' + '790e4b99458ba986', 'hex') // The schema's fingerprint: docs/schemas.md.
const TYPE = avro.Type.forSchema(SCHEMA)

// Returns the fields of a message of now.
function message () {
  const fields = { schema_version: '1.0.1', record_id: randomUUID(), user_id: 'elias01', source: 'an_example' }
  return { ...fields, timestamp: Date.now() }
}

// The time is ISO 8601 text in JSON, and ms since the epoch in Avro.
const inJson = fields => JSON.stringify({ ...fields, timestamp: new Date(fields.timestamp).toISOString() })
const inAvro = fields => Buffer.concat([HEADER, TYPE.toBuffer(fields)])

const [topic, servers] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [servers], logLevel: logLevel.ERROR })
const producer = kafka.producer({
  createPartitioner: Partitioners.DefaultPartitioner, // Java's: murmur2 of the key.
  idempotent: true, // No message is lost, doubled or out of order when the client tries again.
  maxInFlightRequests: 1
})
await producer.connect()
for (const encode of [inJson, inAvro]) {
  const fields = message()
  await producer.send({ topic, messages: [{ key: fields.user_id, value: encode(fields) }] })
}
await producer.disconnect()
