"""Sessions over a service: `sessions.py` for threads, `asyncsessions.py` for asyncio, written once.

`opening.py` chooses the service, `exchange.py` reaches it, `asking.py` asks it and repeats what is safe to repeat.
`forms.py` has its answers, `problems.py` what it answers instead.
"""
