"""What speaks to people and programs over HTTP: parse, ask, answer. No rules here.

The faces. `v1/` is the session API, `gateway/` the sockets, `page/` the page for people. `a3cp.py` and `assessment.py`
have forms that others have set. `shared.py` shows a session to whoever has its link. `operations.py` is for operators;
`corner.py` looks how everything stands, and `standing.py` has the form in which that is told.

`app.py` puts them together. A request passes, in this order, `tracing.py`, `recording.py` (its id, metrics, access
log), `gate.py` (may it come in), `paths.py`, `quick.py` and `calling.py` (the short way of what is asked most). Routes
work with what `context.py` has; `shell.py` is there before that.

Who asks. `doors.py` says; `tokens.py` and `oidc.py` are doors. `roles.py`: what a route needs. `ratelimits.py`: how
often one may ask.

What is asked. `headers.py`, `ids.py`, `texts.py` read a request; `namedonce.py` refuses what is given twice.
`persons.py` keeps e-mail addresses out of the log. `finding.py`: where a session is. `positions.py`: how much of the
log an answer reflects.

Reading. `encoded.py`, `histories.py` and `recent.py` keep answers in memory. `meanwhile.py`: what waits in the outbox.

Writing. `asking.py` sends a command and waits for what comes of it; `delivering.py` waits until the log has a record.
`idempotency.py` carries out a repeated request once, `touches.py` at most one touch a minute.

Problems. `problems.py` has every kind; `describing.py` puts them into the OpenAPI document, `pages.py` explains them to
people.
"""
