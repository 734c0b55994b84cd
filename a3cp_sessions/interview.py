"""Interviews: their manager, what it works with, and the errors. docs/interviews.md has an example."""

from processor.client.interview import *  # noqa: F403  # Its `__all__` is the list of names.
