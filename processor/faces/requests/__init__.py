"""What the routes of all faces do with a request: read it, find its session, send what it causes, wait for the log.

`ids.py` and `paths.py` read it; `persons.py` keeps e-mail addresses out of the log. `finding.py`: where a session is.
`roles.py`: what a route needs. `asking.py` sends a command and waits for what comes of it; `delivering.py` waits until
the log has a record. `positions.py`: how much of the log an answer reflects.
"""
