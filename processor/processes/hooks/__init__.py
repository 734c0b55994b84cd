"""The hooks. `hooks.py` is the process, `hooking.py` its loop, `telling.py` tells one receiver of one thing."""
