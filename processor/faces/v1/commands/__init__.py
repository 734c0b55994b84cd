"""What is done to a session: `creating.py` begins it, `commanding.py` has the commands, `messages_in.py` what is said.

`interviews.py` has what an interview needs besides. `asked.py` sends a command for a request, with a key only once.
"""
