"""One file a long-running process: how it starts, retries, stops. A room for each kind of process.

- `worker`: the processor's own, one or several.
- `exporter`: from the output topics to the store and to files.
- `service`: HTTP over what one replica knows.
- `hooks`: tells other programs of sessions.

The canary: `canary.py`. All of it on one machine: `up.py`, with the processes as `parts.py`. Helping processes are in a
`pool.py`; `collecting.py` and `signals.py` are for all.
"""
