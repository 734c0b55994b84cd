"""What is read: one session (`showing.py`, `messages_out.py`, `proving.py`, `exporting.py`), or many (`listing.py`).

`cursors.py` says where a page of a list begins; `live.py` tells what happens as it happens. `what_if.py` answers what
other limits would make of sessions, `templates.py` which templates there are, `operating.py` how everything stands.
"""
