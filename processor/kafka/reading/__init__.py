"""Readers: `records.py` has what all share; one topic to its end, topics without end, and the port `Feed`."""
