"""A worker. `worker.py` is one, `supervisor.py` several, with a spare one (`spare.py`).

`starting.py` checks what must be before one begins.
"""
