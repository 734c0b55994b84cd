"""The outbox: what was to be sent while Kafka is away waits in a file, and is sent when it is back.

`outbox.py` is what senders use: it decides which way a record goes. `direct.py` has the records that go straight to the
producer, `waiting.py` those that wait, `queue.py` those in the file, and `file.py` opens it. The rules are in
docs/outbox.md.
"""
