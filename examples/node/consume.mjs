// A consumer in Node: prints a3cp.tagged or a3cp.sessions, until Ctrl-C.
//
//     npm ci
//     node consume.mjs a3cp.sessions 127.0.0.1:9092

import { readFileSync } from 'node:fs'
import avro from 'avsc'
import { Kafka, logLevel } from 'kafkajs'

const FINGERPRINTS = { TaggedA3CPMessage: 'aaa4c7b299c74aaa', SessionEvent: '7b2a7c03d14d8a54' } // docs/schemas.md
const TYPES = {} // by the first ten bytes of a value
for (const [name, fingerprint] of Object.entries(FINGERPRINTS)) {
  const schema = JSON.parse(readFileSync(new URL(`../../schemas/avro/${name}.avsc`, import.meta.url)))
  TYPES['c301' + fingerprint] = avro.Type.forSchema(schema)
}

// Returns the fields of a value in JSON, or in Avro with one of the schemas.
function decode (value) {
  const type = TYPES[value.toString('hex', 0, 10)]
  return type ? type.fromBuffer(value.subarray(10)) : JSON.parse(value)
}

const [topic, servers] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [servers], logLevel: logLevel.ERROR })
const consumer = kafka.consumer({ groupId: `an-example-${process.pid}`, readUncommitted: false })
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ message }) => console.log(JSON.stringify(decode(message.value)))
})
