"""What every request passes: `tracing.py`, `recording.py` (its id, metrics, access log), `gate.py` (may it come in).

The gate counts by `ratelimits.py`, and refuses what is given twice (`namedonce.py`). `shell.py` has what all need.
"""
