"""The read model: tagged messages and session events become rows.

- `projection`: from records to rows.
- `forms`: a session as people and programs are told of it.

Both stand on `model.py`, which has the rows, on `ports.py`, the store's, on `summary.py`, which adds up, and on
`arguments.py`, which reads what events tell. `phases.py`: which words a session's status may say. `report.py`: what is
wrong with a session. `what_if.py`: what other limits would make of it.

Which sessions. `filtering.py`: those that pass a filter. `due.py`: those that a target does not have as they are now.
`aside.py`: those that could not be written.
"""
