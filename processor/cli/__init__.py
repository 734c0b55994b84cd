"""The command `a3cp`: parse, call, map errors to exit codes. One file a command group."""
