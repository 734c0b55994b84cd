"""Dead letters: one `letter.py` is read, put back by `retrying.py`; `latest.py` keeps the newest at hand."""
