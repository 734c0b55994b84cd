"""How commands print: `text.py` is safe for a terminal, `terminal.py` has tables and bars.

What they print: `record_lines.py` a record, `removals.py` what was removed, `exported.py` what an export did.
"""
