"""An exporter. `exporter.py` is its loop, `files.py` what it writes.

`decoders.py` and `writers.py` spread its work over helping processes.
"""
