"""A session as it is told. `shapes.py` has the files of a bundle, `jsonforms.py` the JSON of all that is told.

`timeline.py` has a line for each message and event, `folding.py` makes one of lines that are alike. `metadata.py` and
`remarks.py` have what commands tell of a session, `explain.py` names the rule behind each boundary, `redacting.py`
hides what others must not see.
"""
