"""The only importer of the Kafka client: implements the ports on Kafka, and turns its errors into ours.

A room for each kind of work:

- `worker`: the log of a worker, in transactions.
- `reading`: reads one topic to its end, follows topics, feeds an exporter.
- `committed`: what is committed beside an offset, and tells whether the offset still holds.
- `topics`: the topics as their files want them.
- `deadletters`: what was set aside.
- `stopped`: work on the topics while no worker runs.
- `overview`: how things stand in a Kafka.

Files here are for all of them: `conf.py`, librdkafka's properties; `failures.py`, its errors in our words, and
`lettingin.py`, why no broker lets a client in; `answering.py`, whether a broker answers; `offsets.py`, how far logs and
groups are; `identities.py`, the ids of cluster and topics; `unreadable.py`, the records behind a damaged batch.

`producer.py` writes outside of transactions. `seals.py` writes and reads seals. `audit.py` reads what an audit needs.
`registry.py` is a schema registry.
"""
