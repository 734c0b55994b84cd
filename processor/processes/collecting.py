"""Garbage collection for loops that make many values and no cycles."""

import gc


def tune_garbage_collection() -> None:
    """Collect rarely: a batch makes many values and no cycles, so looking for those is in vain."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
