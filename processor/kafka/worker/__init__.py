"""A worker's log: the port `Log` on Kafka, in `log.py`.

It knows which `partitions.py` are read, what is committed of each (`positions.py`), and where one begins
(`beginnings.py`). `restorer.py` reads the states of what was assigned. `transactions.py` commits; `slots.py` says whose
transactions may be left open.

It watches for records behind an open transaction (`hidden.py`), for topics that were made anew (`survey.py`), and for
others who write to the same topics (`other_groups.py`).
"""
