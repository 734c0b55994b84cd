"""The outbox: what was to be sent while Kafka is away waits in a file, and is sent when it is back.

`file.py` opens the file, `queue.py` has the records in it, `outbox.py` is what senders use. The rules are in
docs/outbox.md.
"""
