"""From records to rows: `following.py` polls the port `feed.py` and stores, `progress.py` tells how far that is.

`decoding.py` makes rows of records; `materializer.py` makes a transaction of a batch. `waiting.py` holds back what the
schema registry does not know yet, `again.py` reads what was set aside once more.
"""
