"""The session API, `/v1`: one file for each kind of thing that is read or done; `routes.py` has all of them.

- `commands`: what is done to a session; it comes into the log.
- `queries`: what is read.
- `persons`: a person's file, profile and erasure.

`bookmarking.py` and `sharing.py` keep something of a session beside the log. For all: `reading.py` reads a session for
a caller, `filters.py` says which are meant, `telling.py` and `shapes.py` how they are told. `bodies.py` wants JSON.
"""
