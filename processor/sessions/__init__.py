"""The read model: tagged messages and session events become rows.

From records to rows. `feed.py` is the port of the topics, `ports.py` those of the store, `model.py` has the rows.
`following.py` polls and stores; `decoding.py` makes rows of records; `materializer.py` makes a transaction of a batch;
`summary.py` adds up; `progress.py` tells how far it is. `waiting.py` holds back what the schema registry does not know
yet, `again.py` reads what was set aside once more.

What events and messages tell of a session. `arguments.py`, `phases.py`, `remarks.py`, `metadata.py`.

A session for people. `timeline.py` has a line for each message and event, `folding.py` makes one of lines that are
alike, `explain.py` names the rule behind each boundary, `redacting.py` hides what others must not see, `what_if.py`
tells what other limits would make of it.

A session for programs. `shapes.py` has the files of a bundle, `jsonforms.py` the JSON of all that is told, `report.py`
what is wrong with a session.

Which sessions. `filtering.py`: those that pass a filter. `due.py`: those that a target does not have as they are now.
`aside.py`: those that could not be written.
"""
