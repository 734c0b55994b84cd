"""The only importer of the Kafka client: implements the ports on Kafka, and turns its errors into ours.

A worker's log. `log.py` is the port `Log`. It uses `partitions.py` (which are read, and how far), `positions.py` (what
is committed), `beginnings.py` (where a partition begins), `restorer.py` (states of what was assigned),
`transactions.py`, and `slots.py` (whose transactions may be left open).

What a worker watches. `answering.py`: whether a broker answers. `hidden.py`: records behind an open transaction.
`survey.py`: topics that were made anew. `other_groups.py`: others who write to the same topics.

What is committed beside an offset. `origin.py`: which cluster and topics it belongs to, by `identities.py`. `marks.py`:
what became of the partition. `lost_offsets.py` refuses to begin where all of this is gone.

Readers. `reading.py` has what all of them share. `reader.py` reads one topic to its end, `tail.py` topics for ever,
`feed.py` what an exporter reads (the port `Feed`), `audit.py` what an audit reads. `offsets.py` tells how far logs and
groups are. `unreadable.py` finds the records behind a damaged batch.

Writers. `producer.py` writes outside of transactions. `seals.py` writes and reads seals.

Dead letters. `deadletters.py` reads them, `retrying.py` puts them back, `letters.py` keeps the latest at hand.

Topics. `topics.py` compares them with their files, and connects to nothing. `topic_admin.py` reads and makes them.
`fresh.py` removes those of an earlier demo.

Work while no worker runs. `standing_in.py` keeps workers out, `states.py` has all states; `growing.py`, `adopting.py`
and `erasure.py` use them.

How things stand. `cluster.py`, `overview.py`, `open_transactions.py`, and `corner.py` for the operators' page.

All use `conf.py`, librdkafka's properties, and `failures.py`, its errors in our words; `lettingin.py` tells why no
broker lets a client in. `registry.py` is a schema registry.
"""
