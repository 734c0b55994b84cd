"""A worker. `worker.py` is one, `supervisor.py` several; `starting.py` checks what must be before one begins."""
