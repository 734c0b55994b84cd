"""Measures the project's speed with its peers beside it, in one run on one machine: `python -m bench`, `make bench`."""
