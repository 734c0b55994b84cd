"""What one replica has for its routes: `context.py` hands it to them; beside it is what is kept between requests.

Reading: `encoded.py`, `histories.py` and `recent.py` keep answers in memory. Writing: `idempotency.py` carries out a
repeated request once, `touches.py` at most one touch a minute, `meanwhile.py` knows what waits in the outbox. For
operators `corner.py` looks how everything stands, in the form of `standing.py`.
"""
