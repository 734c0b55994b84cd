"""The command `a3cp`: parse, call, map errors to exit codes. One file a command group, of the command's name.

- `arguments`: what arguments of several commands mean.
- `printing`: what several commands print, and how.

`app.py` begins, `commands.py` finds the command's file, `extras.py` says which extra is missing. `timeline.py` is a
command of `sessions.py`.
"""
