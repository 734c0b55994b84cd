"""One file a long-running process: how it starts, retries, stops.

A worker. `worker.py` is one, `supervisor.py` several; `starting.py` checks what must be before one begins.

An exporter. `exporter.py` is its loop, `files.py` what it writes. `decoders.py` and `writers.py` spread its work over
processes of a `pool.py`.

The service. `serve.py` is the process, `listening.py` and `sockets.py` its HTTP server. `replica.py` is what it knows,
fed by `viewing.py`; `tidying.py` lets old links go. `inprocess.py` is a service inside of a program that uses it.

The hooks. `hooks.py` is the process, `hooking.py` its loop, `telling.py` tells one receiver of one thing.

The canary: `canary.py`. All of it on one machine: `up.py`, with the processes as `parts.py`. `collecting.py` and
`signals.py` are for all.
"""
