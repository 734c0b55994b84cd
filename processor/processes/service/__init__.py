"""The service. `serve.py` is the process, `listening.py` and `sockets.py` its HTTP server.

`replica.py` is what it knows, fed by `viewing.py`; `tidying.py` lets old links go. `inprocess.py` is a service inside
of a program that uses it.
"""
